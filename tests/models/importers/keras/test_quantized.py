"""Layers of Keras 3 in few bits: what is told of them, and what is refused. Their numbers are golden (k3_few_bits)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellserve.models import importers
from cellserve.models.errors import ImportRefused
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential, write_h5

GOLDEN = Path(__file__).parents[3] / "golden" / "k3_few_bits.keras"
Config = dict[str, Any]


def changed(tmp_path: Path, layer: str, change: Callable[[Config], object]) -> Path:
    """The golden archive with another configuration of one layer."""
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(GOLDEN) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                model = json.loads(content)
                change(next(one["config"] for one in model["config"]["layers"] if one["name"] == layer))
                content = json.dumps(model).encode()
            new.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ImportRefused) as caught:
        importers.load(path)
    return str(caught.value)


def test_inputs_that_keras_rounds_too_are_told(tmp_path: Path) -> None:
    """As it does for int8 unless its settings say otherwise."""
    notes = importers.load(GOLDEN).notes
    assert any(note.startswith("weights8: its weights are stored in int8") for note in notes)
    assert not any("also rounds" in note for note in notes)
    path = changed(tmp_path, "weights8", lambda config: config.update(quantization_config=None))
    assert any(note.startswith("weights8") and "Keras also rounds" in note for note in importers.load(path).notes)


@pytest.mark.parametrize(("mode", "what"), [("float8", "float8"), ("gptq/4/128", "GPTQ"), ("awq/4/128", "AWQ")])
def test_other_ways_to_save_bits_are_refused_by_name(tmp_path: Path, mode: str, what: str) -> None:
    path = changed(tmp_path, "weights8", lambda config: config["dtype"]["config"].update(mode=mode))
    said = refusal(path)
    assert what in said
    assert "weights8" in said
    assert "before model.quantize" in said


def test_arrays_that_are_not_of_their_configuration(tmp_path: Path) -> None:
    path = changed(tmp_path, "channels4", lambda config: config["dtype"]["config"].update(mode="int8"))
    assert "its array of int8 is" in refusal(path)
    path = changed(tmp_path, "weights8", lambda config: config["dtype"]["config"].update(mode="int4/-1"))
    assert "its array of int4 is" in refusal(path)


def test_h5_files_list_the_bias_first_for_it_alone_is_trained(tmp_path: Path) -> None:
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
    model = sequential(lstm(batch_input_shape=[None, None, 2]), layer("Dense", "dense", units=2, dtype=policy))
    kernel, bias = np.array([[1, -2], [3, 4], [5, -6]], np.int8), np.array([0.5, 0.25], np.float32)
    arrays = {"lstm_1": lstm_arrays(), "dense": [bias, kernel, np.array([2.0, 4.0], np.float32)]}
    read = importers.load(write_h5(tmp_path / "m.h5", model, arrays, version="3.15.1")).weights.arrays
    assert read["dense.kernel"].tolist() == [[0.5, -0.5], [1.5, 1.0], [2.5, -1.5]]
    assert read["dense.bias"].tolist() == bias.tolist()


@pytest.mark.parametrize(("name", "value", "what"), [("3", 0, "groups"), ("4", 9, "names groups beyond its")])
def test_groups_that_there_are_not(tmp_path: Path, name: str, value: int, what: str) -> None:
    """Of "groups4": kernel, bias, scales, zeros, groups."""
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(GOLDEN) as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            content = io.BytesIO(old.read(member))
            if member == "model.weights.h5":
                with h5py.File(content, "r+") as file:
                    arrays = next(one["vars"] for one in file["layers"].values() if one["vars"].attrs.get("name") == "groups4")
                    found = np.asarray(arrays[name])
                    del arrays[name]
                    arrays[name] = np.full_like(found, value) if value else found[:, :1]
            new.writestr(member, content.getvalue())
    assert what in refusal(path)
