"""SavedModel folders of tf.keras: the layers from what Keras wrote beside the program, the arrays from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import load
from tests.models.importers.checkpoint_files import field, write_objects
from tests.models.importers.keras_files import lstm, lstm_arrays, sequential

SHAPE = {"batch_input_shape": {"class_name": "__tuple__", "items": [None, None, 2]}}
ARRAYS = lstm_arrays()


def written(folder: Path, model: Any, version: bytes = b"2.15.0") -> Path:
    (folder / "variables").mkdir()
    keys = [f"layer_with_weights-0/cell/{role}/.ATTRIBUTES/VARIABLE_VALUE" for role in ("kernel", "recurrent_kernel", "bias")]
    write_objects(folder / "variables" / "variables", dict(zip(keys, ARRAYS, strict=True)))
    root = field(3, b"root") + field(5, json.dumps(model).encode())
    (folder / "keras_metadata.pb").write_bytes(field(1, field(3, b"root.layer-0") + field(5, b"{}")) + field(1, root))
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, field(1, field(5, version))))
    return folder


def test_layers_and_release_are_read_and_nothing_runs(tmp_path: Path) -> None:
    found = load(written(tmp_path, {**sequential(lstm(**SHAPE)), "name": "model"}))
    np.testing.assert_array_equal(found.weights.arrays["lstm_1.kernel"], ARRAYS[0])
    assert (found.source.framework, found.source.version) == ("tf.keras", "2.15.0")


def test_a_model_that_keras_does_not_describe(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="no Sequential or functional model"):
        load(written(tmp_path, {"class_name": "MyModel", "name": "mine"}))


@pytest.mark.parametrize("name", ["keras_metadata.pb", "saved_model.pb", "variables/variables.index"])
def test_a_folder_cut_short(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, sequential(lstm(**SHAPE)))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    with pytest.raises(ImportRefused, match="damaged or cut short"):
        load(folder)


def test_it_takes_no_architecture(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="this file needs none"):
        load(written(tmp_path, sequential(lstm(**SHAPE))), architecture=tmp_path / "model.json")
