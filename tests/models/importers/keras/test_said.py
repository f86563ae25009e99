"""Layers of classes of the program's own, whose code is never run: what a person says that they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from tests.models.importers.keras_files import Layer, layer, lstm, lstm_arrays, one_lstm, sequential, write_h5

SHAPE = {"batch_input_shape": [None, 4, 2]}
OPTIONS = {"units": 3, "activation": "tanh", "recurrent_activation": "sigmoid", "return_sequences": True}


def imported(folder: Path, said: Any, *layers: Layer) -> ImportedModel:
    path = write_h5(folder / "model.h5", sequential(*layers), {layers[0]["config"]["name"]: lstm_arrays()})
    (folder / "description.yaml").write_text(yaml.safe_dump({"custom_layers": said}))
    return load(path, description=folder / "description.yaml")


def answer(model: ImportedModel) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(2, 4, 2)).astype(np.float32)
    (found,), _ = reference.run(model.spec, model.weights.arrays, [rows], [4, 4])
    return np.asarray(found)


def test_a_class_of_keras_with_the_options_and_arrays_of_the_file(tmp_path: Path) -> None:
    """ReversedLSTM: an LSTM that goes backwards, its outputs turned round again."""
    mine = layer("ReversedLSTM", "mine", **OPTIONS, go_backwards=True, **SHAPE)
    found = imported(tmp_path, {"ReversedLSTM": ["LSTM", "reverse"]}, mine)
    assert [one.kind for one in found.spec.layers] == ["lstm", "reverse"]
    assert found.spec.outputs == ("mine",)
    note = "mine: the code of ReversedLSTM was not read; it is taken for LSTM, then reverse, as the description says."
    assert note in found.notes
    plain = write_h5(tmp_path / "plain.h5", one_lstm(return_sequences=True, go_backwards=True), {"lstm_1": lstm_arrays()})
    np.testing.assert_array_equal(answer(found), answer(load(plain))[:, ::-1])


@pytest.mark.parametrize(
    ("said", "raw", "kinds"),
    [
        ({"Last": "last_step"}, layer("Last", "x", axis=1), ["lstm", "last_step"]),
        ({"Turned": ["reverse", "last_step"]}, layer("Turned", "x"), ["lstm", "reverse", "last_step"]),
        ({"Turned": "reverse"}, layer("mine>Turned", "x"), ["lstm", "reverse"]),
        ({"mine>Turned": "reverse"}, layer("mine>Turned", "x"), ["lstm", "reverse"]),
        (
            {"Bound": {"class_name": "ReLU", "max_value": 6.0, "bound": None}},
            layer("Bound", "x", bound=6),
            ["lstm", "activation"],
        ),
        (
            {"Swish": {"class_name": "Activation", "activation": "swish"}},
            layer("TimeDistributed", "x", layer=layer("Swish", "y")),
            ["lstm", "activation"],
        ),
    ],
)
def test_what_may_be_said(tmp_path: Path, said: Any, raw: Layer, kinds: list[str]) -> None:
    found = imported(tmp_path, said, lstm(**SHAPE, return_sequences=True), raw)
    assert [one.kind for one in found.spec.layers] == kinds


@pytest.mark.parametrize(
    ("said", "raw", "message"),
    [
        (
            {},
            layer("Mine", "x"),
            r"layer 'x': layers of class Mine are not supported yet.*`custom_layers: {Mine: \[LSTM, reverse\]}`",
        ),
        (
            {"Other": "mean"},
            layer("Dropout", "x", rate=0.1),
            "option 'custom_layers': the model has no layer of this class: 'Other'",
        ),
        ({"Mine": {"units": 3}}, layer("Mine", "x"), "layer 'x': option 'custom_layers': a layer of Keras is {class_name"),
        (
            {"Mine": ["Dropout", "twice"]},
            layer("Mine", "x", rate=0.1),
            "layer 'x': option 'custom_layers': 'twice' is no word for",
        ),
        ({"Mine": "Yours"}, layer("Mine", "x"), "layer 'x': layers of class Yours are not supported yet"),
        ({"Mine": "squeeze"}, layer("Mine", "x"), "layer 'x': there is no axis to squeeze"),
        (
            {"Mine": "Dropout"},
            layer("Mine", "x", rate=0.1, depth=3),
            "layer 'x': option 'depth': Dropout has this option set to 3",
        ),
        ({"Mine": []}, layer("Mine", "x"), "option 'custom_layers.Mine"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, said: Any, raw: Layer, message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        imported(tmp_path, said, lstm(**SHAPE, return_sequences=True), raw)


def test_words_after_a_layer_in_a_wrapper(tmp_path: Path) -> None:
    raw = layer("Bidirectional", "both", layer=layer("ReversedLSTM", "inner", **OPTIONS), **SHAPE)
    with pytest.raises(ImportRefused, match="layer 'both': option 'custom_layers': inside a wrapper nothing can follow a layer"):
        imported(tmp_path, {"ReversedLSTM": ["LSTM", "reverse"]}, raw)
