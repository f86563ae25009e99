"""Checkpoints of TensorFlow 2 beside a Keras architecture: arrays by the objects that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from tests.models.importers.checkpoint_files import field, object_graph, random, write_checkpoint, write_objects
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential

SHAPE = {"batch_input_shape": [None, None, 2]}
ROLES = ("kernel", "recurrent_kernel", "bias")


def cell(holder: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{holder}/{role}": array for role, array in zip(ROLES, arrays, strict=True)}


def loaded(folder: Path, model: dict[str, Any], variables: dict[str, np.ndarray], root: str = "") -> ImportedModel:
    values = {f"{root}{name}/.ATTRIBUTES/VARIABLE_VALUE": array for name, array in variables.items()}
    write_objects(folder / "weights", values)
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
    variables |= {"optimizer/m": arrays[0], "save_counter": random(1)}
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


def test_the_graph_of_objects_says_which_value_is_whose(tmp_path: Path) -> None:
    """A SavedModel keeps its values under other keys than the layers that hold them."""
    arrays, names = lstm_arrays(), [f"layer_with_weights-0/cell/{role}/.ATTRIBUTES/VARIABLE_VALUE" for role in ROLES]
    keys = [f"variables/{number}/.ATTRIBUTES/VARIABLE_VALUE" for number in (2, 0, 1)]
    renamed = dict(zip(names, keys, strict=True))
    write_checkpoint(tmp_path / "weights", dict(zip(keys, arrays, strict=True)), graph=object_graph(renamed))
    (tmp_path / "model.json").write_text(json.dumps({**sequential(lstm(**SHAPE)), "keras_version": "2.15.0"}))
    found = load(tmp_path / "weights", architecture=tmp_path / "model.json")
    np.testing.assert_array_equal(found.weights.arrays["lstm_1.kernel"], arrays[0])
    np.testing.assert_array_equal(found.weights.arrays["lstm_1.bias"], arrays[2])


def test_layers_of_a_model_inside_a_model(tmp_path: Path) -> None:
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer("Dropout", "d", rate=0.1), lstm("lstm_2")]}}
    model = sequential(lstm(**SHAPE, return_sequences=True), inner)
    first, second = lstm_arrays(), lstm_arrays(3, seed=1)
    variables = cell("layer_with_weights-0/cell", first) | cell("layer_with_weights-1/layer_with_weights-0/cell", second)
    arrays = loaded(tmp_path, model, variables).weights.arrays
    np.testing.assert_array_equal(arrays["inner/lstm_2.kernel"], second[0])


def test_layers_of_a_subclassed_model_by_its_attributes(tmp_path: Path) -> None:
    """Its metrics and what an optimizer keeps are no layers; an array that no layer of the architecture has is refused."""
    model, own = sequential(lstm("encoder", **SHAPE), layer("Dropout", "d", rate=0.1)), cell("encoder/cell", lstm_arrays())
    beside = {"optimizer/m": random(2, 3), "loss_tracker/total": np.zeros((), np.float32)}
    for root in ("", "net/"):
        found = loaded(tmp_path, model, own | beside, root)
        np.testing.assert_array_equal(found.weights.arrays["encoder.kernel"], lstm_arrays()[0])
    with pytest.raises(ImportRefused, match=r"no layer of the architecture uses fc/kernel"):
        loaded(tmp_path, model, own | {"fc/kernel": random(3, 2)})
    with pytest.raises(
        ImportRefused,
        match=r"no model of Keras is among its objects: .* and nothing has attributes that are called as the layers",
    ):
        loaded(tmp_path, sequential(lstm(**SHAPE)), own)


def test_layers_of_keras_3_by_the_number_of_what_the_model_runs(tmp_path: Path) -> None:
    """Inputs and layers without arrays count; a variable may begin with an underscore; an optimizer lists variables again."""
    entry = layer("InputLayer", "x", batch_shape=[None, None, 2])
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer("Dropout", "d", rate=0.1), lstm("lstm_2")]}}
    model = sequential(entry, lstm(return_sequences=True), inner, layer("Dense", "out", units=4))
    first, second, kernel, bias = lstm_arrays(), lstm_arrays(3, seed=1), random(3, 4), random(4)
    root = "model/_functional/_operations"
    variables = cell(f"{root}/1/cell", first) | cell(f"{root}/2/_functional/_operations/2/cell", second)
    variables |= {f"{root}/3/_kernel": kernel, f"{root}/3/bias": bias, "optimizer/_momentums/0": first[0]}
    arrays = loaded(tmp_path, model, variables).weights.arrays
    np.testing.assert_array_equal(arrays["inner/lstm_2.kernel"], second[0])
    np.testing.assert_array_equal(arrays["out.kernel"], kernel)
    stack = layer("StackedRNNCells", "s", cells=[layer("LSTMCell", name, units=3) for name in "ab"])
    stacked = sequential(entry, layer("RNN", "r", cell=stack))
    with pytest.raises(ImportRefused, match=r"layer 'r': .* no weights for it; Keras 3 leaves those of stacked cells out"):
        loaded(tmp_path, stacked, {f"{root}/2/_kernel": kernel})
    with pytest.raises(ImportRefused, match=r"no layer of the architecture uses .*_operations/4/_kernel"):
        loaded(tmp_path, model, variables | {f"{root}/4/_kernel": kernel})


def test_statistics_that_the_configuration_says_take_no_number(tmp_path: Path) -> None:
    given = layer("Normalization", "n", mean=[1.0, 2.0], variance=[1.0, 4.0], **SHAPE)
    found = loaded(tmp_path, sequential(given, lstm()), cell("layer_with_weights-0/cell", lstm_arrays()))
    np.testing.assert_array_equal(found.weights.arrays["n.moving_mean"], [1.0, 2.0])


def test_an_order_of_arrays_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """Names in a checkpoint come in the order of the alphabet, which is no order of arrays."""
    model = sequential(layer("Dense", "d", units=2, **SHAPE))
    with pytest.raises(ImportRefused, match=r"layer 'd': in which order its arrays bias, scale come is not known here"):
        loaded(tmp_path, model, {"layer_with_weights-0/bias": random(2), "layer_with_weights-0/scale": random(2, 2)})


def test_a_damaged_graph_of_objects(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({**sequential(lstm(**SHAPE)), "keras_version": "2.15.0"}))
    for graph in (field(1, field(1, field(1, 7) + field(2, b"layer_with_weights-0"))), b"\x0a\x05"):
        write_checkpoint(tmp_path / "weights", {"a": random(1)}, graph=graph)
        with pytest.raises(ImportRefused, match="graph of objects is damaged"):
            load(tmp_path / "weights", architecture=tmp_path / "model.json")
    write_objects(tmp_path / "weights", {"a": random(1)})
    with pytest.raises(ImportRefused, match="no model of Keras is among its objects"):
        load(tmp_path / "weights", architecture=tmp_path / "model.json")
