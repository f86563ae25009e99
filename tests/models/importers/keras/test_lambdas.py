"""Lambda layers, whose code is never run: what a person says that they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential, write_h5

SHAPE = {"batch_input_shape": [None, 4, 2]}


def imported(folder: Path, said: Any) -> ImportedModel:
    model = sequential(lstm(**SHAPE, return_sequences=True), layer("Lambda", "pick", function=["code"]))
    path = write_h5(folder / "model.h5", model, {"lstm_1": lstm_arrays()})
    (folder / "description.yaml").write_text(yaml.safe_dump({"lambdas": said}))
    return load(path, description=folder / "description.yaml")


@pytest.mark.parametrize(
    ("said", "kinds"),
    [
        ("last_step", ["lstm", "last_step"]),
        ("mean", ["lstm", "global_pooling_1d"]),
        ("identity", ["lstm"]),
        ({"class_name": "Permute", "dims": [2, 1]}, ["lstm", "flatten", "unflatten"]),
    ],
)
def test_a_word_or_a_layer(tmp_path: Path, said: Any, kinds: list[str]) -> None:
    found = imported(tmp_path, {"pick": said})
    assert [one.kind for one in found.spec.layers] == kinds
    assert any(note.startswith("pick: its code was not read; it is taken for") for note in found.notes)


@pytest.mark.parametrize(
    ("lambdas", "message"),
    [
        ({}, "layer 'pick': a Lambda layer holds code, which is never run; say in a --description"),
        ({"other": "mean", "pick": "mean"}, "option 'lambdas': the model has no Lambda layer of this name: 'other'"),
        ({"pick": "squeeze"}, "layer 'pick': there is no axis to squeeze"),
        ({"pick": {"dims": [2, 1]}}, "layer 'pick': option 'lambdas': a layer of Keras is"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, lambdas: dict[str, Any], message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        imported(tmp_path, lambdas)
