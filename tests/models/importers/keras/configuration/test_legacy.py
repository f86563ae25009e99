"""Keras 0 and 1: releases told from options or asked for, arrays of each cell, and the traps of the first year."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellserve.models.description.layers.cells import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer
from cellserve.models.description.layers.stepwise import BatchNormalizationLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.importers.keras.configuration.release import likely_releases
from tests.models.importers.keras_files import layer, node, sequential, write_h5

Array = np.ndarray
OLD_LSTM = {"name": "LSTM", "input_dim": 2, "output_dim": 3, "truncate_gradient": -1}


def arrays_of(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.random.default_rng((place, *shape)).normal(size=shape).astype(np.float32) for place, shape in enumerate(shapes)]


def gates(count: int, features: int = 2, units: int = 3) -> list[Array]:
    return arrays_of(*[(features, units), (units, units), (units,)] * count)


def keras_0(folder: Path, layers: list[dict[str, Any]], arrays: list[list[Array]], description: str = "") -> ImportedModel:
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs["nb_layers"] = len(arrays)
        for place, own in enumerate(arrays):
            group = file.create_group(f"layer_{place}")
            for number, array in enumerate(own):
                group.create_dataset(f"param_{number}", data=array)
    (folder / "model.json").write_text(json.dumps({"name": "Sequential", "layers": layers}))
    (folder / "said.yaml").write_text(description)
    given = folder / "said.yaml" if description else None
    return load(folder / "weights.h5", architecture=folder / "model.json", description=given)


def keras_1(
    folder: Path, model: dict[str, Any], arrays: dict[str, list[Array]], description: str = "", **h5: Any
) -> ImportedModel:
    (folder / "said.yaml").write_text(description)
    path = write_h5(folder / "m.h5", model, arrays, **{"version": "1.2.2", "backend": "", **h5})
    return load(path, description=folder / "said.yaml" if description else None)


@pytest.mark.parametrize(
    ("options", "releases"),
    [
        ({"truncate_gradient": -1}, ("0.1.0", "0.1.1", "0.1.2", "0.1.3")),
        ({"truncate_gradient": -1, "input_length": None}, ("0.2.0",)),
        ({"go_backwards": False}, ("0.3.0",)),
        ({"go_backwards": False, "cache_enabled": True}, ("0.3.1",)),
        ({"go_backwards": False, "custom_name": "a"}, ("0.3.2", "0.3.3")),
        ({"go_backwards": False, "custom_name": "a", "dropout_W": 0.0}, ("0.3.3",)),
    ],
)
def test_options_tell_the_release(options: dict[str, Any], releases: tuple[str, ...]) -> None:
    assert likely_releases({"name": "Sequential", "layers": [{"name": "LSTM", **options}]}) == releases


def test_a_release_that_does_not_matter_is_assumed_and_said(tmp_path: Path) -> None:
    found = keras_0(tmp_path, [OLD_LSTM], [gates(4)])
    assert found.source.version == "0.1.3"
    assert found.notes[0] == (
        "The file does not say which Keras wrote it; it is taken for 0.1.3 (Keras 0.1.0 would answer the same)."
    )
    told = keras_0(tmp_path, [{**OLD_LSTM, "input_length": None}], [gates(4)])
    assert told.notes[0].endswith("it is taken for 0.2.0 (its options are of that release).")


def test_a_release_that_matters_must_be_named(tmp_path: Path) -> None:
    """The first steps of SimpleDeepRNN changed in 0.1.2; with a mask, every layer did."""
    deep = {"name": "SimpleDeepRNN", "input_dim": 2, "output_dim": 3, "depth": 2, "truncate_gradient": -1}
    arrays = arrays_of((2, 3), (3, 3), (3, 3), (3,))
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': .*0\.1\.0 and 0\.1\.3 answer differently.*`keras_version`"):
        keras_0(tmp_path, [deep], [arrays])
    rules = {
        version: keras_0(tmp_path, [deep], [arrays], f'keras_version: "{version}"').spec.layers[0]
        for version in ("0.1.0", "0.1.2")
    }
    assert {version: one.missing_steps for version, one in rules.items() if isinstance(one, SimpleDeepRnnLayer)} == {
        "0.1.0": "zero",
        "0.1.2": "absent",
    }
    embedding = {"name": "Embedding", "input_dim": 5, "output_dim": 2, "mask_zero": True}
    with pytest.raises(ImportRefused, match="answer differently"):
        keras_0(tmp_path, [embedding, OLD_LSTM], [arrays_of((5, 2)), gates(4)])


def test_an_option_that_the_release_did_not_write_down_must_be_added(tmp_path: Path) -> None:
    embedding = {"name": "Embedding", "input_dim": 5, "output_dim": 2}
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': option 'mask_zero': Keras 0\.1\.3 did not write this option down"):
        keras_0(tmp_path, [embedding, OLD_LSTM], [arrays_of((5, 2)), gates(4)], 'keras_version: "0.1.3"')
    added = keras_0(
        tmp_path, [{**embedding, "mask_zero": True}, OLD_LSTM], [arrays_of((5, 2)), gates(4)], 'keras_version: "0.1.3"'
    )
    said = "layer_1: as in Keras 0.1.3, a masked step is computed like any other and the state is set to zeros after it."
    assert said in added.notes


def test_twelve_and_nine_arrays_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    stored = gates(4)
    lstm = keras_0(tmp_path, [OLD_LSTM], [stored]).weights.arrays
    i, c, f, o = (stored[3 * gate : 3 * gate + 3] for gate in range(4))
    for place, name in enumerate(("kernel", "recurrent_kernel", "bias")):
        expected = np.concatenate([gate[place] for gate in (i, f, c, o)], axis=-1)
        np.testing.assert_array_equal(lstm[f"layer_0.{name}"], expected)
    gru = {"name": "GRU", "input_dim": 2, "output_dim": 3, "truncate_gradient": -1}
    found = keras_0(tmp_path, [gru], [gates(3)])
    np.testing.assert_array_equal(found.weights.arrays["layer_0.kernel"], np.concatenate(gates(3)[0::3], axis=1))
    assert isinstance(found.spec.layers[0], GruLayer)
    assert found.spec.layers[0].activation.name == "sigmoid"


JZS_SHAPES = {
    1: [(2, 3), (3,), (2, 3), (3, 3), (3,), (3, 3), (3,)],
    2: [(2, 3), (3, 3), (3,), (3, 3), (3,), (2, 3), (3, 3), (3,)],
    3: [(2, 3), (3, 3), (3,)] * 3,
}


@pytest.mark.parametrize("variant", [1, 2])
def test_a_projection_is_stored_or_given_or_refused(tmp_path: Path, variant: int) -> None:
    raw = {"name": f"JZS{variant}", "input_dim": 2, "output_dim": 3, "truncate_gradient": -1}
    stored = arrays_of(*JZS_SHAPES[variant])
    projection = np.full((2, 3), 0.5, np.float32)
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': JZS\d on 2 inputs with 3 units .*random matrix.*Pmat.get_value"):
        keras_0(tmp_path, [raw], [stored], 'keras_version: "0.1.2"')
    said = f'keras_version: "0.1.2"\nprojections: {{layer_0: {projection.tolist()}}}'
    given = keras_0(tmp_path, [raw], [stored], said)
    own = keras_0(tmp_path, [raw], [[*stored, projection]], 'keras_version: "0.2.0"')
    assert given.weights.digest == own.weights.digest
    place = {1: slice(6, 9), 2: slice(3, 6)}[variant]
    np.testing.assert_array_equal(own.weights.arrays["layer_0.kernel"][:, place], projection)
    wrong = f'keras_version: "0.1.2"\nprojections: {{layer_0: {projection.T.tolist()}}}'
    with pytest.raises(ImportRefused, match="layer 'layer_0'"):
        keras_0(tmp_path, [raw], [stored], wrong)


def test_a_layer_as_wide_as_its_input_is_not_projected(tmp_path: Path) -> None:
    raw = {"name": "JZS1", "input_dim": 3, "output_dim": 3, "truncate_gradient": -1}
    shapes = [(3, 3), (3,), (3, 3), (3, 3), (3,), (3, 3), (3,)]
    found = keras_0(tmp_path, [raw], [arrays_of(*shapes)], 'keras_version: "0.1.2"')
    np.testing.assert_array_equal(found.weights.arrays["layer_0.kernel"][:, 6:], np.eye(3, dtype=np.float32))
    assert isinstance(found.spec.layers[0], JzsLayer)


def test_the_bugs_of_exactly_one_release(tmp_path: Path) -> None:
    new = {"go_backwards": False, "output_dim": 3, "input_shape": [None, 2]}
    gru = {"name": "GRU", "activation": "tanh", "inner_activation": "hard_sigmoid", **new}
    found = keras_0(tmp_path, [gru], [gates(3)])
    assert isinstance(found.spec.layers[0], GruLayer)
    assert found.spec.layers[0].activation.name == "hard_sigmoid"
    assert "GRU of exactly Keras 0.3.0 takes inner_activation for the candidate" in found.notes[1]
    later = keras_0(tmp_path, [{**gru, "cache_enabled": True}], [gates(3)])
    assert later.spec.layers[0].activation.name == "tanh"  # type: ignore[union-attr]


def test_dropout_of_the_first_year_scales_outside_training(tmp_path: Path) -> None:
    layers = [{**OLD_LSTM, "input_length": None}, {"name": "Dropout", "p": 0.25}]
    found = keras_0(tmp_path, layers, [gates(4), []])
    assert found.spec.layers[1].scale == 0.75  # type: ignore[union-attr]
    assert "layer_1: Keras 0.2.0 multiplies by 1 - 0.25 outside training, and so does this." in found.notes


def test_what_is_not_of_the_file_or_not_of_the_architecture(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': it needs 12 weight arrays and the file holds 11"):
        keras_0(tmp_path, [OLD_LSTM], [gates(4)[:11]])
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': .*13 weight arrays.*, 12 are expected"):
        keras_0(tmp_path, [OLD_LSTM], [[*gates(4), np.zeros(3)]])
    with pytest.raises(ImportRefused, match=r"layer 'layer_1': .*2 weight arrays.*, 0 are expected"):
        keras_0(tmp_path, [OLD_LSTM], [gates(4), arrays_of((3, 2), (2,))])
    with pytest.raises(ImportRefused, match="layer 'layer_0': layers of class Convolution1D are not supported"):
        keras_0(tmp_path, [{"name": "Convolution1D", "input_dim": 2, "truncate_gradient": -1}], [[]], 'keras_version: "0.1.3"')
    (tmp_path / "graph.json").write_text(json.dumps({"name": "Graph", "layers": []}))
    with pytest.raises(ImportRefused, match=r"a Graph of Keras 0\.x"):
        load(tmp_path / "weights.h5", architecture=tmp_path / "graph.json")


def test_arrays_without_a_file_around_them(tmp_path: Path) -> None:
    whole = keras_0(tmp_path, [OLD_LSTM], [gates(4)])
    np.savez(tmp_path / "lists.npz", **{f"layer_0_param_{number}": array for number, array in enumerate(gates(4))})
    assert load(tmp_path / "lists.npz", architecture=tmp_path / "model.json").weights.digest == whole.weights.digest
    np.savez(tmp_path / "other.npz", kernel=np.zeros((2, 12)))
    with pytest.raises(ImportRefused, match=r"the array 'kernel' belongs to no layer.*layer_<k>_param_<n>"):
        load(tmp_path / "other.npz", architecture=tmp_path / "model.json")
    np.savez(tmp_path / "gap.npz", layer_0_param_0=np.zeros((2, 3)), layer_0_param_2=np.zeros(3))
    with pytest.raises(ImportRefused, match=r"layer 'layer_0': its arrays are numbered \[0, 2\]"):
        load(tmp_path / "gap.npz", architecture=tmp_path / "model.json")


def test_an_architecture_in_the_yaml_of_python_2(tmp_path: Path) -> None:
    json_model = keras_0(tmp_path, [{**OLD_LSTM, "input_length": None}], [gates(4)])
    (tmp_path / "model.yaml").write_text(
        "layers:\n- {input_dim: 2, input_length: null, input_shape: !!python/tuple [null, 2], name: LSTM, output_dim: 3,\n"
        "  truncate_gradient: -1, activation: !!python/unicode 'tanh'}\nname: Sequential\n"
    )
    assert load(tmp_path / "weights.h5", architecture=tmp_path / "model.yaml").spec == json_model.spec
    (tmp_path / "code.yaml").write_text("layers: !!python/object/apply:os.system ['touch /tmp/never']\n")
    with pytest.raises(ImportRefused, match="not YAML of plain values"):
        load(tmp_path / "weights.h5", architecture=tmp_path / "code.yaml")


OLD = {"inner_activation": "hard_sigmoid", "inner_init": "orthogonal", "batch_input_shape": [None, None, 2]}


def test_keras_1_has_joined_or_separate_arrays(tmp_path: Path) -> None:
    lstm = layer("LSTM", "lstm_1", output_dim=3, **OLD)
    separate = keras_1(tmp_path, sequential(lstm), {"lstm_1": gates(4)})
    i, c, f, o = (gates(4)[3 * gate : 3 * gate + 3] for gate in range(4))
    joined = [np.concatenate([gate[place] for gate in (i, f, c, o)], axis=-1) for place in range(3)]
    assert keras_1(tmp_path, sequential(lstm), {"lstm_1": joined}).weights.digest == separate.weights.digest
    assert isinstance(separate.spec.layers[0], LstmLayer)
    assert separate.spec.layers[0].recurrent_activation.name == "hard_sigmoid"


def test_both_directions_of_keras_1_lie_one_after_the_other(tmp_path: Path) -> None:
    inner = layer("GRU", "gru_1", output_dim=3, inner_init="orthogonal")
    both = layer("Bidirectional", "both", layer=inner, merge_mode="sum", batch_input_shape=[None, None, 2])
    ahead, behind = gates(3), [array + 1 for array in gates(3)]
    found = keras_1(tmp_path, sequential(both), {"both": [*ahead, *behind]}).weights.arrays
    np.testing.assert_array_equal(found["both_backward.kernel"], found["both_forward.kernel"] + 1)


def test_a_convolution_needs_its_backend_in_keras_1_only(tmp_path: Path) -> None:
    raw = layer("Convolution1D", "conv", nb_filter=4, filter_length=3, border_mode="valid", batch_input_shape=[None, 8, 2])
    kernel = arrays_of((3, 1, 2, 4))[0]
    stored = {"conv": [kernel, np.zeros(4)]}
    with pytest.raises(ImportRefused, match=r"layer 'conv': .*Theano or on TensorFlow.*`keras_backend: theano`"):
        keras_1(tmp_path, sequential(raw), stored)
    theano = keras_1(tmp_path, sequential(raw), stored, "keras_backend: theano").weights.arrays["conv.kernel"]
    tensorflow = keras_1(tmp_path, sequential(raw), stored, "keras_backend: tensorflow").weights.arrays["conv.kernel"]
    np.testing.assert_array_equal(tensorflow, kernel[:, 0])
    np.testing.assert_array_equal(theano, kernel[::-1, 0])
    before = {"conv": [kernel.transpose(3, 2, 0, 1), np.zeros(4)]}
    older = keras_1(tmp_path, sequential(raw), before, "keras_backend: tensorflow", version="1.0.8")
    np.testing.assert_array_equal(older.weights.arrays["conv.kernel"], tensorflow)
    new = layer("Conv1D", "conv", filters=4, kernel_size=[3], batch_input_shape=[None, 8, 2])
    of_keras_2 = load(write_h5(tmp_path / "two.h5", sequential(new), {"conv": [kernel[:, 0], np.zeros(4)]}, backend="theano"))
    np.testing.assert_array_equal(of_keras_2.weights.arrays["conv.kernel"], theano)
    assert isinstance(of_keras_2.spec.layers[0], Conv1dLayer)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (layer("Conv1D", "l", filters=2, kernel_size=[4], padding="same"), "option 'padding': Theano pads this convolution"),
        (layer("MaxPooling1D", "l", pool_size=3, padding="same"), "option 'padding': Theano pads this pooling"),
    ],
)
def test_paddings_that_only_theano_has(tmp_path: Path, raw: dict[str, Any], said: str) -> None:
    raw["config"]["batch_input_shape"] = [None, 8, 2]
    with pytest.raises(ImportRefused, match=f"layer 'l': {said}"):
        load(write_h5(tmp_path / "m.h5", sequential(raw), {"l": arrays_of((4, 2, 2), (2,))}, backend="theano"))


def test_normalization_before_and_after_its_deviation_became_a_variance(tmp_path: Path) -> None:
    raw = layer("BatchNormalization", "norm", epsilon=0.5, mode=0, axis=-1, batch_input_shape=[None, None, 2], momentum=0.9)
    stored = {"norm": [np.full(2, value, np.float32) for value in (1.0, 2.0, 3.0, 4.0)]}
    before, after = (keras_1(tmp_path, sequential(raw), stored, version=version) for version in ("1.0.5", "1.0.6"))
    assert [one.spec.layers[0].epsilon for one in (before, after) if isinstance(one.spec.layers[0], BatchNormalizationLayer)] == [
        0.0,
        0.5,
    ]
    assert before.weights.arrays["norm.moving_variance"].tolist() == [4.5**2] * 2
    assert after.weights.arrays["norm.moving_variance"].tolist() == [4.0] * 2
    raw["config"]["mode"] = 1
    with pytest.raises(ImportRefused, match="layer 'norm': option 'mode'"):
        keras_1(tmp_path, sequential(raw), stored)


def test_branches_joined_without_a_functional_model(tmp_path: Path) -> None:
    sides = [
        {"class_name": "Sequential", "config": [layer("LSTM", "left", output_dim=3, **OLD)]},
        {"class_name": "Sequential", "config": [layer("Dense", "right", output_dim=2, batch_input_shape=[None, 4])]},
    ]
    merge = layer("Merge", "joined", mode="concat", concat_axis=-1, layers=sides, dot_axes=-1, output_mask_type="raw")
    model = {"class_name": "Sequential", "config": [merge, layer("Dense", "out", output_dim=1)]}
    arrays = {"left": gates(4), "right": arrays_of((4, 2), (2,)), "out": arrays_of((5, 1), (1,))}
    found = keras_1(tmp_path, model, arrays)
    assert [(entry.name, entry.kind) for entry in found.spec.inputs] == [("left_input", "features"), ("right_input", "vector")]
    merge["config"]["mode"] = "cos"
    with pytest.raises(ImportRefused, match="layer 'joined': only the modes sum, mul, ave, max, concat of Merge"):
        keras_1(tmp_path, model, arrays)


def test_a_graph_that_runs_in_a_circle_names_its_layers(tmp_path: Path) -> None:
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, 4, 2])),
        node(layer("Add", "one"), "x", "two"),
        node(layer("Dense", "two", units=2), "one"),
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]], "output_layers": [["two", 0, 0]]}
    with pytest.raises(ImportRefused, match="its graph is cyclic or damaged: each of one, two waits for another"):
        load(write_h5(tmp_path / "m.h5", {"class_name": "Model", "config": config}, {"two": arrays_of((2, 2), (2,))}))
    layers[1] = node(layer("Add", "one"), "x", "nobody")
    with pytest.raises(ImportRefused, match="layer 'one' reads 'nobody', which is not in the file"):
        load(write_h5(tmp_path / "m.h5", {"class_name": "Model", "config": config}, {"two": arrays_of((2, 2), (2,))}))
