"""Checkpoints of TensorFlow 2 beside a Keras architecture: arrays by the objects that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.importers.tensorflow1.checkpoint import OBJECT_GRAPH
from tests.models.importers.checkpoint_files import random, write_checkpoint
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential

SHAPE = {"batch_input_shape": [None, None, 2]}
ROLES = ("kernel", "recurrent_kernel", "bias")


def cell(holder: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{holder}/{role}": array for role, array in zip(ROLES, arrays, strict=True)}


def loaded(folder: Path, model: dict[str, Any], variables: dict[str, np.ndarray], root: str = "") -> ImportedModel:
    values = {f"{root}{name}/.ATTRIBUTES/VARIABLE_VALUE": array for name, array in variables.items()}
    write_checkpoint(folder / "weights", {OBJECT_GRAPH: random(1), **values})
    (folder / "model.json").write_text(json.dumps({**model, "keras_version": "2.15.0"}))
    return load(folder / "weights", architecture=folder / "model.json")


@pytest.mark.parametrize("root", ["", "model/"])
def test_layers_are_numbered_without_those_that_hold_nothing(tmp_path: Path, root: str) -> None:
    """Each other layer would take the LSTM's number if it counted; what an optimizer keeps is left aside."""
    model = sequential(
        layer("Masking", "m", mask_value=0.0, **SHAPE),
        layer("TimeDistributed", "t", layer=layer("Activation", "a", activation="tanh")),
        layer("LayerNormalization", "n", center=False, scale=False),
        lstm(),
    )
    arrays = lstm_arrays()
    variables = cell("layer_with_weights-0/cell", arrays)
    variables |= {"layer_with_weights-0/cell/kernel/.OPTIMIZER_SLOT/optimizer/m": arrays[0], "save_counter": random(1)}
    found = loaded(tmp_path, model, variables, root)
    np.testing.assert_array_equal(found.weights.arrays["lstm_1.recurrent_kernel"], arrays[1])
    assert (found.source.framework, found.source.version) == ("tf.keras", "2.15.0")


def test_cells_of_a_stack_by_their_numbers(tmp_path: Path) -> None:
    cells = [layer("LSTMCell", name, units=3) for name in "abc"]
    inner = layer("StackedRNNCells", "inner", cells=cells[1:])
    model = sequential(layer("RNN", "s", cell=layer("StackedRNNCells", "outer", cells=[cells[0], inner]), **SHAPE))
    first, second, third = lstm_arrays(), lstm_arrays(3, seed=1), lstm_arrays(3, seed=2)
    root = "layer_with_weights-0/cell/cells"
    found = loaded(
        tmp_path, model, cell(f"{root}/0", first) | cell(f"{root}/1/cells/0", second) | cell(f"{root}/1/cells/1", third)
    )
    kernels = [found.weights.arrays[f"{one.name}.kernel"] for one in found.spec.layers]
    for kernel, expected in zip(kernels, (first, second, third), strict=True):
        np.testing.assert_array_equal(kernel, expected[0])


def test_variables_that_are_missing_or_left_over(tmp_path: Path) -> None:
    model, own = sequential(lstm(**SHAPE)), cell("layer_with_weights-0/cell", lstm_arrays())
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*the checkpoint holds no weights for it"):
        loaded(tmp_path, model, cell("layer_with_weights-1/cell", lstm_arrays()))
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*needs 3 weight arrays and the checkpoint holds 2"):
        loaded(tmp_path, model, {name: array for name, array in own.items() if not name.endswith("bias")})
    with pytest.raises(ImportRefused, match=r"no layer of the architecture uses layer_with_weights-1/kernel"):
        loaded(tmp_path, model, own | {"layer_with_weights-1/kernel": random(3, 2)})
