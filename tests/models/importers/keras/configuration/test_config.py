"""Keras configurations into networks: graph forms, what is translated, and what is refused with layer and option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.windowed import Cropping1dLayer
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from cellserve.models.importers.keras.configuration.masks import NAMES
from tests.golden.cases import FOLDER
from tests.models.importers.keras_files import (
    Arrays,
    functional,
    layer,
    lstm,
    lstm_arrays,
    node,
    one_lstm,
    sequential,
    write_archive,
    write_h5,
)

SHAPE = {"batch_input_shape": [None, None, 2]}


def imported(folder: Path, model: dict[str, Any], arrays: Arrays | None = None, **era: Any) -> ImportedModel:
    return load(write_h5(folder / "model.h5", model, {"lstm_1": lstm_arrays()} if arrays is None else arrays, **era))


def dense_arrays(features: int, units: int) -> list[np.ndarray]:
    return [np.ones((features, units), dtype=np.float32), np.zeros(units, dtype=np.float32)]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (layer("Lambda", "scale", function=["code"]), r"layer 'scale': a Lambda layer holds code"),
        (layer("MyAttention", "attend"), r"layer 'attend': layers of class MyAttention are not supported"),
        (layer("Conv1D", "convolve", filters=3), r"layer 'convolve': its configuration lacks the option 'kernel_size'"),
        (layer("Conv1D", "convolve", filters=-1, kernel_size=[3]), r"layer 'convolve': option 'units': .*greater than 0"),
        (layer("Conv1D", "convolve", filters=4, kernel_size=3, groups=2), r"layer 'convolve': option 'groups'"),
        (layer("Conv2D", "convolve", filters=3, kernel_size=3), r"layer 'convolve': it reads \[batch, time, \d\]; .*bands"),
        (layer("ConvLSTM1D", "convolve", filters=3), r"layer 'convolve': .*ConvLSTM1D are not supported"),
        (layer("GlobalMaxPooling1D", "pool", keepdims=True), r"layer 'pool': option 'keepdims'"),
        (layer("MaxPooling1D", "pool", data_format="channels_first"), r"layer 'pool': option 'data_format'"),
        (layer("Reshape", "shape", target_shape=[3, 1]), r"layer 'shape': it lays \[batch, time, \d\] out anew over time"),
        (layer("Permute", "turn", dims=[2, 1]), r"layer 'turn': option 'dims': it turns features into time"),
        (layer("Dot", "dot", axes=1), r"layer 'dot': layers of class Dot are not supported"),
        (layer("Sequential", "inner", layers=[]), r"the model has no layers"),
        (
            layer("Dense", "out", units=1, activation="my_function"),
            r"layer 'out': option 'activation': the activation 'my_function'",
        ),
        (layer("Dense", "out", units=1, quantization="int4"), r"layer 'out': option 'quantization': .*'int4'"),
        (layer("Dense", "out", units=1, dtype="int8"), r"layer 'out': option 'dtype'"),
        (layer("Softmax", "soft", axis=1), r"layer 'soft': option 'axis'"),
        (layer("ReLU", "clip", max_value=3.0), r"layer 'clip': ReLU with max_value 3\.0"),
        (layer("BatchNormalization", "norm", axis=1), r"layer 'norm': option 'axis'"),
        (layer("BatchNormalization", "norm", renorm=True), r"layer 'norm': renorm"),
        (layer("LayerNormalization", "norm", rms_scaling=True), r"layer 'norm': option 'rms_scaling'"),
        (layer("Flatten", "flat", data_format="channels_first"), r"layer 'flat': option 'data_format'"),
        (
            layer("TimeDistributed", "each", layer=layer("LSTM", "inner", units=2)),
            r"layer 'each': within a step it reads \[batch, time, \d\]",
        ),
        (
            layer("TimeDistributed", "each", layer=layer("ConvLSTM1D", "inner", filters=2)),
            r"layer 'each': TimeDistributed around ConvLSTM1D is not supported",
        ),
        (layer("Bidirectional", "both", layer=layer("ConvLSTM2D", "inner")), r"layer 'both': Bidirectional\(ConvLSTM2D\)"),
        (lstm("lstm_2", time_major=True), r"layer 'lstm_2': option 'time_major'"),
        (lstm("lstm_2", peephole=True), r"layer 'lstm_2': option 'peephole'"),
        (
            layer("RNN", "cells", cell=[{"class_name": "MyCell", "config": {}}]),
            r"layer 'cells': option 'cell': the cell 'MyCell'",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_layer_option_and_file(tmp_path: Path, raw: dict[str, Any], said: str) -> None:
    model = sequential(lstm(return_sequences=True, **SHAPE), raw)
    with pytest.raises(ImportRefused, match=rf"model\.h5: {said}"):
        imported(tmp_path, model, {"lstm_1": lstm_arrays(), raw["config"]["name"]: []})


def test_training_options_are_noted_in_one_sentence_each_and_ignored(tmp_path: Path) -> None:
    model = sequential(
        lstm(
            dropout=0.2, kernel_regularizer={"class_name": "L2"}, kernel_constraint=None, return_sequences=True, seed=7, **SHAPE
        ),
        layer("SpatialDropout1D", "drop", rate=0.3),
        layer("GaussianNoise", "noise", stddev=0.1),
        layer("Dense", "out", units=1, kernel_regularizer={"class_name": "L1"}),
    )
    found = imported(tmp_path, model, {"lstm_1": lstm_arrays(), "out": dense_arrays(3, 1)})
    assert found.notes == (
        "Dropout inside recurrent layers: only for training, ignored here (lstm_1).",
        "Regularizers: only for training, ignored here (lstm_1, out).",
        "Dropout layers: only for training, ignored here (drop, noise).",
    )
    assert [one.kind for one in found.spec.layers] == ["lstm", "dropout", "dropout", "dense"]


@pytest.mark.parametrize(
    ("options", "ends"),
    [({}, (1, 1)), ({"cropping": 2}, (2, 2)), ({"cropping": [3]}, (3, 3)), ({"cropping": [0, 4]}, (0, 4))],
)
def test_the_ends_that_a_cropping_layer_cuts_off(tmp_path: Path, options: dict[str, Any], ends: tuple[int, int]) -> None:
    model = sequential(lstm(return_sequences=True, **SHAPE), layer("Cropping1D", "crop", **options))
    found = imported(tmp_path, model, {"lstm_1": lstm_arrays(), "crop": []}).spec.layers[1]
    assert found == Cropping1dLayer(name="crop", inputs=("lstm_1",), before=ends[0], after=ends[1])


def test_other_precisions_are_served_in_float32_and_said_so(tmp_path: Path) -> None:
    policy = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    assert "mixed_float16" in imported(tmp_path, one_lstm(dtype=policy)).notes[0]


def test_sequential_configs_may_be_lists_and_inputs_may_have_layers_of_their_own(tmp_path: Path) -> None:
    listed = {"class_name": "Sequential", "config": [lstm(**SHAPE)]}
    with_input = sequential(layer("InputLayer", "in", batch_shape=[None, 6, 2]), lstm())
    assert imported(tmp_path, listed).spec.layers[0].kind == "lstm"
    entry = imported(tmp_path, with_input).spec.inputs[0]
    assert (entry.name, entry.kind, entry.width, entry.time_steps) == ("in", "features", 2, 6)


def test_a_width_that_the_config_leaves_out_is_read_from_the_first_kernel(tmp_path: Path) -> None:
    assert imported(tmp_path, sequential(lstm())).spec.inputs[0].width == 2
    masked = imported(tmp_path, sequential(layer("Masking", "mask"), lstm()), {"mask": [], "lstm_1": lstm_arrays()})
    assert masked.spec.inputs[0].width == 2
    with pytest.raises(ImportRefused, match="not say how many features"):
        imported(tmp_path, sequential(layer("LeakyReLU", "bent"), lstm()), {"bent": [], "lstm_1": lstm_arrays()})


def test_a_shape_is_said_axis_by_axis(tmp_path: Path) -> None:
    images = layer("InputLayer", "x", batch_input_shape=[None, None, 8, 1])
    with pytest.raises(
        ImportRefused, match=r"'lstm_1' \(lstm\) takes one axis of features, but its input is \[batch, time, 8, 1\]"
    ):
        imported(tmp_path, sequential(images, lstm()), {"x": [], "lstm_1": lstm_arrays()})


def test_an_embedding_first_means_ids(tmp_path: Path) -> None:
    model = sequential(
        layer("Embedding", "embed", input_dim=5, output_dim=2, mask_zero=True, batch_input_shape=[None, 9]), lstm()
    )
    found = imported(tmp_path, model, {"embed": [np.ones((5, 2))], "lstm_1": lstm_arrays()})
    assert (found.spec.inputs[0].kind, found.spec.inputs[0].time_steps) == ("ids", 9)


def test_gru_without_reset_after_is_the_old_one_and_era_sets_the_mask_rule(tmp_path: Path) -> None:
    gru = layer("GRU", "gru", units=3, use_bias=False, **SHAPE)
    arrays = {"gru": [np.ones((2, 9)), np.ones((3, 9))]}
    found = imported(tmp_path, sequential(gru), arrays, version="2.0.5").spec.recurrent_layers[0]
    assert (found.reset_after, found.mask_rule, found.recurrent_activation.name) == (False, "repeat_from_state", "hard_sigmoid")
    newer = imported(tmp_path, sequential(gru), arrays, version="2.3.1").spec.recurrent_layers[0]
    assert (newer.mask_rule, newer.recurrent_activation.name) == ("repeat", "sigmoid")


def test_a_functional_model_with_states_in_and_out(tmp_path: Path) -> None:
    layers = [
        node(lstm(return_state=True), "x", "h0", "c0"),  # a layer may stand before what it reads
        node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])),
        node(layer("InputLayer", "h0", batch_input_shape=[None, 3])),
        node(layer("InputLayer", "c0", batch_input_shape=[None, 3])),
        node(layer("Concatenate", "both", axis=-1), ("lstm_1", 1), ("lstm_1", 2)),
    ]
    found = imported(tmp_path, functional(layers, ["x", "h0", "c0"], [("both", 0), ("lstm_1", 2)]))
    assert [entry.kind for entry in found.spec.inputs] == ["features", "vector", "vector"]
    assert found.spec.layers[0].inputs == ("x", "h0", "c0")
    assert found.spec.layers[1].inputs == ("lstm_1:h", "lstm_1:c")
    assert found.spec.outputs == ("both", "lstm_1:c")


def test_initial_states_as_a_keyword(tmp_path: Path) -> None:
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])),
        node(layer("InputLayer", "h0", batch_input_shape=[None, 3])),
        node(layer("InputLayer", "c0", batch_input_shape=[None, 3])),
        node(lstm(), "x", initial_state=[["h0", 0, 0], ["c0", 0, 0]], training=None, mask=None),
    ]
    found = imported(tmp_path, functional(layers, ["x", "h0", "c0"], [("lstm_1", 0)]))
    assert found.spec.layers[0].inputs == ("x", "h0", "c0")


def test_a_layer_used_twice_is_two_layers_with_the_same_weights(tmp_path: Path) -> None:
    shared = lstm()
    shared = {**shared, "name": "lstm_1", "inbound_nodes": [[["x", 0, 0, {}]], [["y", 0, 0, {}]]]}
    layers = [
        node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])),
        node(layer("InputLayer", "y", batch_input_shape=[None, None, 2])),
        shared,
    ]
    model = functional(layers, ["x", "y"], [("lstm_1", 0)])
    model["config"]["output_layers"] = [["lstm_1", 0, 0], ["lstm_1", 1, 0]]
    arrays = imported(tmp_path, model).weights.arrays
    np.testing.assert_array_equal(arrays["lstm_1.kernel"], arrays["lstm_1_call_1.kernel"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_layers": {"a": "lstm_1"}}, "outputs are written in a form not known here"),
        ({"input_layers": [["absent", 0, 0]]}, "damaged"),
        ({"output_layers": [["lstm_1", 0, 7]]}, "damaged"),
        ({"layers": "all of them"}, "damaged"),
    ],
)
def test_a_damaged_graph(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    layers = [node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])), node(lstm(), "x")]
    model = functional(layers, ["x"], [("lstm_1", 0)])
    model["config"] |= change
    with pytest.raises(ImportRefused, match=said):
        imported(tmp_path, model)


def test_a_layer_without_a_source(tmp_path: Path) -> None:
    layers = [node(layer("InputLayer", "x", batch_input_shape=[None, None, 2])), node(lstm(), "absent")]
    with pytest.raises(ImportRefused, match=r"layer 'lstm_1'.*graph is damaged"):
        imported(tmp_path, functional(layers, ["x"], [("lstm_1", 0)]))


def test_layers_that_do_not_fit_together(tmp_path: Path) -> None:
    model = sequential(lstm(**SHAPE), lstm("lstm_2"))
    with pytest.raises(ImportRefused, match=r"do not fit together.*'lstm_2'"):
        imported(tmp_path, model, {"lstm_1": lstm_arrays(), "lstm_2": lstm_arrays(3)})


def test_stacked_cells_of_2_0_9_that_were_saved_without_options(tmp_path: Path) -> None:
    cells = [{"class_name": "LSTMCell", "config": {"name": "a"}}, {"class_name": "GRUCell", "config": {"name": "b"}}]
    rnn = layer(
        "RNN", "stack", cell={"class_name": "StackedRNNCells", "config": {"cells": cells}}, return_sequences=True, **SHAPE
    )
    gru = [np.ones((3, 12)), np.ones((4, 12)), np.ones(12)]
    found = imported(tmp_path, sequential(rnn), {"stack": [*lstm_arrays(), *gru]}, version="2.0.9")
    assert [(one.kind, one.units, one.return_sequences) for one in found.spec.recurrent_layers] == [
        ("lstm", 3, True),
        ("gru", 4, True),
    ]
    assert found.spec.outputs == ("stack",)
    assert any("units are read from the arrays" in note for note in found.notes)


def test_a_stack_of_cells_is_a_stack_of_layers(tmp_path: Path) -> None:
    cells = [layer("LSTMCell", "a", units=3, activation="tanh", recurrent_activation="sigmoid") for _ in range(2)]
    stack = layer("RNN", "stack", cell=cells, **SHAPE)
    two = sequential(lstm("one", return_sequences=True, **SHAPE), lstm("two"))
    first, second = lstm_arrays(), lstm_arrays(3, seed=1)
    as_cells = load(write_h5(tmp_path / "a.h5", sequential(stack), {"stack": [*first, *second]}))
    as_layers = load(write_h5(tmp_path / "b.h5", two, {"one": first, "two": second}))
    x = np.random.default_rng(0).normal(size=(2, 4, 2))
    answers = [reference.run(model.spec, model.weights.arrays, (x,), [4, 3])[0][0] for model in (as_cells, as_layers)]
    np.testing.assert_array_equal(*answers)


def test_layers_that_are_called_as_parts_of_others_would_be(tmp_path: Path) -> None:
    cells = [layer("LSTMCell", name, units=3, activation="tanh", recurrent_activation="sigmoid") for name in "abc"]
    both = layer("Bidirectional", "x", layer=lstm("y", return_sequences=True), merge_mode="sum")
    layers = [
        layer("RNN", "rnn", cell=cells, return_sequences=True, **SHAPE),
        *(lstm(name, return_sequences=True) for name in ("rnn_0", "rnn_1", "x_forward", "x_backward")),
        both,
        layer("Activation", "x_backward_in_time", activation="tanh"),
    ]
    own = {"rnn": [*lstm_arrays(), *lstm_arrays(3, seed=1), *lstm_arrays(3, seed=2)], "x_backward_in_time": []}
    own |= {name: lstm_arrays(3, seed=seed) for seed, name in enumerate(("rnn_0", "rnn_1", "x_forward", "x_backward"), 3)}
    found = imported(tmp_path, sequential(*layers), {**own, "x": [*lstm_arrays(3, seed=8), *lstm_arrays(3, seed=9)]})
    for seed, name in enumerate(("rnn_0", "rnn_1", "x_forward", "x_backward"), 3):
        np.testing.assert_array_equal(found.weights.arrays[f"{name}.kernel"], lstm_arrays(3, seed=seed)[0])
    np.testing.assert_array_equal(found.weights.arrays["rnn_1_.kernel"], lstm_arrays(3, seed=1)[0])


def test_a_masked_stack_of_cells_backwards_is_the_same_stack_on_the_sequence_turned(tmp_path: Path) -> None:
    cells = [layer("LSTMCell", name, units=3, activation="tanh", recurrent_activation="sigmoid") for name in "ab"]
    x = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    x[0, 3:] = x[1, 1] = 0

    def answer(steps: np.ndarray, *, backwards: bool) -> np.ndarray:
        stack = layer("RNN", "s", cell=cells, go_backwards=backwards, return_sequences=True)
        model = sequential(layer("Masking", "m", mask_value=0.0, **SHAPE), stack)
        found = imported(tmp_path, model, {"m": [], "s": [*lstm_arrays(), *lstm_arrays(3, seed=1)]}, version="2.15.0")
        return reference.run(found.spec, found.weights.arrays, (steps,), [5, 5])[0][0]

    np.testing.assert_allclose(answer(x, backwards=True), answer(x[:, ::-1], backwards=False), atol=1e-12)


def bidirectional(**config: Any) -> dict[str, Any]:
    inner = layer("LSTM", "inner", units=3, recurrent_activation="sigmoid", return_sequences=True)
    return sequential(layer("Bidirectional", "both", layer=inner, **SHAPE, **config))


@pytest.mark.parametrize(
    ("version", "rule"), [("2.2.4", "repeat_from_state"), ("2.3.1", "repeat"), ("2.12.0", "zero"), ("3.1.0", "zero")]
)
def test_bidirectional_is_two_passes_and_a_merge(tmp_path: Path, version: str, rule: str) -> None:
    arrays = {"both": [*lstm_arrays(), *lstm_arrays(seed=1)]}
    found = imported(tmp_path, bidirectional(merge_mode="concat"), arrays, version=version)
    assert [one.kind for one in found.spec.layers] == ["lstm", "lstm", "reverse", "merge"]
    assert [(one.go_backwards, one.mask_rule) for one in found.spec.recurrent_layers] == [(False, rule), (True, rule)]
    np.testing.assert_array_equal(found.weights.arrays["both_backward.kernel"], arrays["both"][3])


def test_a_merge_mode_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="layer 'both': option 'merge_mode'"):
        imported(tmp_path, bidirectional(merge_mode="max"), {"both": [*lstm_arrays(), *lstm_arrays()]})


def test_a_second_mask_over_a_masked_sequence_is_refused(tmp_path: Path) -> None:
    model = sequential(layer("Masking", "one", mask_value=0.0, **SHAPE), layer("Masking", "two", mask_value=1.0), lstm())
    with pytest.raises(ImportRefused, match="layer 'two': a Masking layer on an already masked sequence"):
        imported(tmp_path, model, {"one": [], "two": [], "lstm_1": lstm_arrays()})


def keras_3_tensor(name: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


def masked_keras_3(mask_value: float, compared_with: float, masked: str = "x") -> dict[str, Any]:
    """A functional model of Keras 3, whose masks are operations among its layers."""

    def placed(raw: dict[str, Any], *arguments: Any, module: str = "keras.layers", **keywords: Any) -> dict[str, Any]:
        inbound = [{"args": list(arguments), "kwargs": keywords}] if arguments else []
        return {**raw, "module": module, "name": raw["config"]["name"], "inbound_nodes": inbound}

    layers = [
        placed(layer("InputLayer", "x", batch_shape=[None, None, 2])),
        placed(layer("NotEqual", "ne"), keras_3_tensor(masked), compared_with, module="keras.src.ops.numpy"),
        placed(layer("Any", "any", axis=-1, keepdims=False), keras_3_tensor("ne"), module="keras.src.ops.numpy"),
        placed(layer("Masking", "masking", mask_value=mask_value), keras_3_tensor("x")),
        placed(lstm(), keras_3_tensor("masking"), mask=keras_3_tensor("any"), training=False),
    ]
    model = functional(layers, ["x"], [])
    model["config"]["input_layers"], model["config"]["output_layers"] = ["x", 0, 0], [["lstm_1", 0, 0]]
    return model


def test_the_mask_operations_of_keras_3_are_recognised(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "m.keras", masked_keras_3(-1.0, -1.0), {"layers/lstm/cell": lstm_arrays()})
    assert [one.kind for one in load(path).spec.layers] == ["masking", "lstm"]


@pytest.mark.parametrize("other", [masked_keras_3(-1.0, 0.0), masked_keras_3(-1.0, -1.0, masked="masking")])
def test_a_mask_that_is_not_the_layers_own_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    path = write_archive(tmp_path / "m.keras", other, {"layers/lstm/cell": lstm_arrays()})
    with pytest.raises(ImportRefused, match="layer 'lstm_1': option 'mask'"):
        load(path)


def merged_masks(*operations: tuple[str, list[Any], dict[str, Any]]) -> dict[str, Any]:
    """Two masked sequences joined. operations: (class, arguments, options); the last one makes the LSTM's mask."""

    def placed(raw: dict[str, Any], *arguments: Any, module: str = "keras.layers", **keywords: Any) -> dict[str, Any]:
        inbound = [{"args": list(arguments), "kwargs": keywords}] if arguments else []
        return {**raw, "module": module, "name": raw["config"]["name"], "inbound_nodes": inbound}

    made = [
        placed(layer(kind, f"o{number}", **options), *arguments, module="keras.src.ops.numpy")
        for number, (kind, arguments, options) in enumerate(operations)
    ]
    layers = [
        *(placed(layer("InputLayer", name, batch_shape=[None, None, 1])) for name in "xy"),
        *(placed(layer("Masking", f"masked_{name}", mask_value=0.0), keras_3_tensor(name)) for name in "xy"),
        *made,
        placed(layer("Concatenate", "joined", axis=-1), [keras_3_tensor("masked_x"), keras_3_tensor("masked_y")]),
        placed(lstm(), keras_3_tensor("joined"), mask=keras_3_tensor(made[-1]["name"])),
    ]
    model = functional(layers, ["x", "y"], [])
    model["config"]["output_layers"] = ["lstm_1", 0, 0]
    return model


BOTH_MASKS = [
    *(("NotEqual", [keras_3_tensor(name), 0.0], {}) for name in "xy"),
    *(("Any", [keras_3_tensor(name)], {"axis": -1, "keepdims": False}) for name in ("o0", "o1")),
]
WIDENED = [
    *BOTH_MASKS,
    *(("ExpandDims", [keras_3_tensor(name)], {"axis": -1}) for name in ("o2", "o3")),
    *(("ZerosLike", [keras_3_tensor(f"masked_{name}")], {"dtype": "bool"}) for name in "xy"),
    *(("LogicalOr", [keras_3_tensor(f"o{4 + n}"), keras_3_tensor(f"o{6 + n}")], {}) for n in (0, 1)),
    ("Concatenate", [[keras_3_tensor("o8"), keras_3_tensor("o9")]], {"axis": -1}),
    ("Any", [keras_3_tensor("o10")], {"axis": -1, "keepdims": False}),
]


def test_masks_are_merged_as_the_release_did(tmp_path: Path) -> None:
    """Before 3.4 they ended there."""
    arrays = {"layers/lstm/cell": lstm_arrays()}
    found = load(write_archive(tmp_path / "m.keras", merged_masks(*WIDENED), arrays, version="3.4.0"))
    assert [one.counts_where for one in found.spec.layers if isinstance(one, MergeLayer)] == ["any"]
    with pytest.raises(ImportRefused, match="layer 'lstm_1': option 'mask'"):
        load(write_archive(tmp_path / "m.keras", merged_masks(*WIDENED), arrays, version="3.3.3"))
    unmasked = merged_masks(*WIDENED)
    unmasked["config"]["layers"][-1]["inbound_nodes"][0]["kwargs"] = {"mask": None}
    found = load(write_archive(tmp_path / "m.keras", unmasked, arrays, version="3.3.3"))
    assert [one.counts_where for one in found.spec.layers if isinstance(one, MergeLayer)] == ["always"]
    assert any("joined: the masks of its inputs end here" in note for note in found.notes)


def test_the_mask_of_one_input_alone_is_not_that_of_the_merge(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "m.keras", merged_masks(*BOTH_MASKS), {"layers/lstm/cell": lstm_arrays()})
    with pytest.raises(ImportRefused, match="layer 'lstm_1': option 'mask'"):
        load(path)


def test_other_operations_of_keras_3_are_refused(tmp_path: Path) -> None:
    model = masked_keras_3(0.0, 0.0)
    model["config"]["layers"][2]["class_name"] = "LogicalNot"
    with pytest.raises(ImportRefused, match="operation LogicalNot"):
        load(write_archive(tmp_path / "m.keras", model, {"layers/lstm/cell": lstm_arrays()}))


@pytest.mark.parametrize(("registered", "said"), [("my_package>LSTM", "my_package>LSTM"), ("Custom>Gate", "Custom>Gate")])
def test_a_registered_class_of_anothers_package_is_not_taken_for_ours(tmp_path: Path, registered: str, said: str) -> None:
    model = sequential({**lstm(**SHAPE), "registered_name": registered})
    with pytest.raises(ImportRefused, match=said):
        imported(tmp_path, model)


def test_activation_layers_and_functions_in_every_spelling(tmp_path: Path) -> None:
    spellings: list[tuple[dict[str, Any], tuple[str, float | None]]] = [
        (layer("LeakyReLU", "a"), ("leaky_relu", 0.3)),
        (layer("LeakyReLU", "a", alpha={"type": "ndarray", "value": 0.1}), ("leaky_relu", 0.1)),
        (layer("LeakyReLU", "a", negative_slope=0.2), ("leaky_relu", 0.2)),
        (layer("ELU", "a", alpha=0.5), ("elu", 0.5)),
        (layer("ReLU", "a", max_value=6.0), ("relu6", None)),
        (layer("ReLU", "a", negative_slope=0.1), ("leaky_relu", 0.1)),
        (layer("Softmax", "a"), ("softmax", None)),
        (layer("Activation", "a", activation="hard_sigmoid"), ("hard_sigmoid", None)),
        (
            layer("Activation", "a", activation={"class_name": "function", "config": "swish", "registered_name": "swish"}),
            ("silu", None),
        ),
        (layer("Activation", "a", activation={"class_name": "ELU", "config": {"alpha": 2.0}}), ("elu", 2.0)),
    ]
    for raw, expected in spellings:
        found = imported(tmp_path, sequential(lstm(**SHAPE), raw), {"lstm_1": lstm_arrays(), "a": []}).spec.layers[1]
        assert found.kind == "activation"
        assert (found.activation.name, found.activation.alpha) == expected


def test_every_golden_configuration_has_shapes_and_names_its_own_layers() -> None:
    for path in sorted(FOLDER.glob("*.h5")):
        if path.with_suffix(".description.yaml").is_file():
            continue  # it cannot be read without
        if path.stem == "tfk_weighing":
            continue  # several of its layers are one of ours
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                continue  # weights alone
            config = json.loads(file.attrs["model_config"])["config"]
        raws = config if isinstance(config, list) else config["layers"]
        unnamed = ("InputLayer", "Bidirectional", "Concatenate", *NAMES)  # Keras 3 concatenates masks too
        names = {raw["config"]["name"] for raw in raws if raw["class_name"] not in unnamed}
        spec = load(path).spec
        assert names <= {one.name for one in spec.layers}
        assert set(spec.outputs) <= infer_shapes(spec).keys()


@pytest.mark.parametrize(("version", "epsilon"), [("2.15.0", 1e-6), ("3.5.0", 1e-6), ("3.6.0", 1e-12)])
def test_unit_normalization_bounds_the_length_as_its_release_does(tmp_path: Path, version: str, epsilon: float) -> None:
    model = sequential(lstm(**SHAPE), layer("UnitNormalization", "unit", axis=-1))
    last = imported(tmp_path, model, {"lstm_1": lstm_arrays()}, version=version).spec.layers[-1]
    assert (last.kind, last.epsilon) == ("unit_normalization", epsilon)
