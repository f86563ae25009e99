"""Cells told by their scopes; assumptions said; the arithmetic against TensorFlow's equations written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel
from tests.models.importers.checkpoint_files import lstm_cell, random, write_checkpoint

Array = np.ndarray
X = random(2, 5, 3, seed=9)
LENGTHS = (5, 3)


def imported(folder: Path, variables: dict[str, Array], **description: Any) -> ImportedModel:
    path = None
    if description:
        path = folder / "description.yaml"
        path.write_text(yaml.safe_dump(description))
    return importers.load(write_checkpoint(folder / "model.ckpt", variables), description=path)


def answers(model: ImportedModel, x: Array = X) -> tuple[Array, ...]:
    return reference.run(model.spec, model.weights.arrays, (x,), LENGTHS)[0]


def refusal(folder: Path, variables: dict[str, Array], **description: Any) -> str:
    with pytest.raises(ImportRefused) as caught:
        imported(folder, variables, **description)
    return str(caught.value)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def tensorflow_lstm(x: Array, variables: dict[str, Array], scope: str, forget_bias: float = 1.0) -> Array:
    """[B, T, F] to [B, T, u], zeros beyond LENGTHS: rnn_cell_impl.BasicLSTMCell under dynamic_rnn(sequence_length)."""
    kernel, bias = variables[f"{scope}/kernel"], variables[f"{scope}/bias"]
    units = len(bias) // 4
    out = np.zeros((*x.shape[:2], units))
    for row, length in enumerate(LENGTHS):
        h, c = np.zeros(units), np.zeros(units)
        for t in range(length):
            i, j, f, o = np.split(np.concatenate([x[row, t], h]) @ kernel + bias, 4)
            c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
            h = np.tanh(c) * sigmoid(o)
            out[row, t] = h
    return out


def reversed_in_time(x: Array) -> Array:
    """tf.reverse_sequence: each row within its own length."""
    turned = x.copy()
    for row, length in enumerate(LENGTHS):
        turned[row, :length] = x[row, :length][::-1]
    return turned


@pytest.mark.parametrize("scope", ["rnn/basic_lstm_cell", "rnn/lstm_cell", "a/b/rnn/lstm_cell_1", "lstm_fused_cell"])
def test_every_lstm_cell_has_one_arithmetic(tmp_path: Path, scope: str) -> None:
    variables = lstm_cell(scope, 3, 4)
    model = imported(tmp_path, variables)
    np.testing.assert_allclose(answers(model)[0], tensorflow_lstm(X, variables, scope), atol=1e-6)
    assert [layer.name for layer in model.spec.layers] == [scope]
    assert model.source.framework == "tensorflow"
    assert any("default 1.0 was added" in note for note in model.notes)


def test_the_names_from_before_tensorflow_1_2(tmp_path: Path) -> None:
    old, new = (lstm_cell("rnn/basic_lstm_cell", 3, 4, old_names=old_names) for old_names in (True, False))
    np.testing.assert_array_equal(answers(imported(tmp_path, old))[0], answers(imported(tmp_path, new))[0])


def test_a_forget_bias_that_is_given_or_that_the_cell_has_not(tmp_path: Path) -> None:
    variables = lstm_cell("rnn/lstm_cell", 3, 4)
    model = imported(tmp_path, variables, forget_bias=0.25)
    np.testing.assert_allclose(answers(model)[0], tensorflow_lstm(X, variables, "rnn/lstm_cell", 0.25), atol=1e-6)
    assert not any("forget_bias" in note for note in model.notes)
    scope = "cudnn_lstm/rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell"
    variables = lstm_cell(scope, 3, 4)
    model = imported(tmp_path, variables)
    np.testing.assert_allclose(answers(model)[0], tensorflow_lstm(X, variables, scope, 0.0), atol=1e-6)


def test_ten_layers_are_counted_not_spelled(tmp_path: Path) -> None:
    scopes = [f"rnn/multi_rnn_cell/cell_{depth}/basic_lstm_cell" for depth in range(11)]
    variables: dict[str, Array] = {}
    for depth, scope in enumerate(scopes):
        variables |= lstm_cell(scope, 2 if depth else 3, 2, seed=depth)
    model = imported(tmp_path, variables)
    assert [layer.name for layer in model.spec.layers] == scopes
    assert any("ResidualWrapper" in note for note in model.notes)


@pytest.mark.parametrize("block", [False, True])
def test_gru(tmp_path: Path, block: bool) -> None:
    names = ("w_ru", "b_ru", "w_c", "b_c") if block else ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")
    gates, gates_bias, candidate, candidate_bias = (random(7, 8), random(8), random(7, 4), random(4))
    arrays = dict(zip(names, (gates, gates_bias, candidate, candidate_bias)))
    model = imported(tmp_path, {f"rnn/gru_cell/{name}": array for name, array in arrays.items()})
    expected, h = np.zeros((5, 4)), np.zeros(4)
    for t, x in enumerate(X[0]):
        r, u = np.split(sigmoid(np.concatenate([x, h]) @ gates + gates_bias), 2)
        h = u * h + (1 - u) * np.tanh(np.concatenate([x, r * h]) @ candidate + candidate_bias)
        expected[t] = h
    np.testing.assert_allclose(answers(model)[0][0], expected, atol=1e-6)


def test_basic_rnn_cell_with_a_described_activation(tmp_path: Path) -> None:
    kernel, bias = random(7, 4), random(4)
    model = imported(tmp_path, {"rnn/basic_rnn_cell/kernel": kernel, "rnn/basic_rnn_cell/bias": bias}, activation="relu")
    h = np.zeros(4)
    for x in X[0]:
        h = np.maximum(np.concatenate([x, h]) @ kernel + bias, 0)
    np.testing.assert_allclose(answers(model)[0][0, -1], h, atol=1e-6)


def both_directions(fw_units: int = 4, bw_units: int = 2) -> tuple[dict[str, Array], Array, Array]:
    """Variables, and what dynamic_rnn gives forward and backward, with two cells in each direction."""
    variables: dict[str, Array] = {}
    outputs = []
    for side, units, x in (("fw", fw_units, X), ("bw", bw_units, reversed_in_time(X))):
        for depth, inputs in enumerate((3, units)):
            scope = f"bidirectional_rnn/{side}/multi_rnn_cell/cell_{depth}/lstm_cell"
            cell = lstm_cell(scope, inputs, units, seed=depth)
            x = tensorflow_lstm(x, cell, scope)
            variables |= cell
        outputs.append(x)
    return variables, outputs[0], reversed_in_time(outputs[1])


def test_two_directions_are_joined(tmp_path: Path) -> None:
    variables, forward, backward = both_directions()
    model = imported(tmp_path, variables)
    np.testing.assert_allclose(answers(model)[0], np.concatenate([forward, backward], axis=2), atol=1e-6)
    assert any("joined, forward first" in note for note in model.notes)


def test_two_directions_added_or_left_apart(tmp_path: Path) -> None:
    variables, forward, backward = both_directions(4, 4)
    np.testing.assert_allclose(answers(imported(tmp_path, variables, merge="sum"))[0], forward + backward, atol=1e-6)
    first, second = answers(imported(tmp_path, variables, merge="none"))
    np.testing.assert_allclose(first, forward, atol=1e-6)
    np.testing.assert_allclose(second, backward, atol=1e-6)
    head = {"logits/kernel": random(4, 2), "logits/bias": random(2)}
    summed = answers(imported(tmp_path, variables | head, merge="sum"))[0]
    last = (forward + backward)[range(2), [length - 1 for length in LENGTHS]]
    np.testing.assert_allclose(summed, last @ head["logits/kernel"] + head["logits/bias"], atol=1e-6)
    assert "option 'merge'" in refusal(tmp_path, variables | {"logits/kernel": random(8, 2)}, merge="none")


def test_stacked_bidirectional_levels_follow_their_numbers(tmp_path: Path) -> None:
    variables: dict[str, Array] = {}
    for level, inputs in enumerate((3, 4)):
        for side in ("fw", "bw"):
            variables |= lstm_cell(f"stack_bidirectional_rnn/cell_{level}/bidirectional_rnn/{side}/lstm_cell", inputs, 2)
    model = imported(tmp_path, variables)
    assert [layer.units for layer in model.spec.recurrent_layers] == [2, 2, 2, 2]
    assert any("taken to be the input of" in note for note in model.notes)


HEADS = {
    "variables of no name": ("Variable", "Variable_1"),
    "tf.layers.dense": ("dense/kernel", "dense/bias"),
    "fully_connected": ("fully_connected/weights", "fully_connected/biases"),
    "names of the user's": ("model/softmax_w", "model/softmax_b"),
}


@pytest.mark.parametrize("names", HEADS.values(), ids=HEADS)
def test_a_head_acts_on_the_last_step(tmp_path: Path, names: tuple[str, str]) -> None:
    variables = lstm_cell("rnn/lstm_cell", 3, 4)
    head = dict(zip(names, (random(4, 2), random(2))))
    model = imported(tmp_path, variables | head)
    out = tensorflow_lstm(X, variables, "rnn/lstm_cell")[range(2), [length - 1 for length in LENGTHS]]
    np.testing.assert_allclose(answers(model)[0], out @ head[names[0]] + head[names[1]], atol=1e-6)
    assert any("last step" in note for note in model.notes)
    everywhere = imported(tmp_path, variables | head, head="sequence", head_activations=["softmax"])
    assert answers(everywhere)[0].shape == (2, 5, 2)
    np.testing.assert_allclose(answers(everywhere)[0][0].sum(axis=-1), 1)


def test_a_head_of_two_matrices_is_ordered_by_width(tmp_path: Path) -> None:
    head = {"Variable": random(5, 2), "Variable_1": random(2), "Variable_2": random(4, 5), "Variable_3": random(5)}
    model = imported(tmp_path, lstm_cell("rnn/lstm_cell", 3, 4) | head, head_activations=["relu", "linear"])
    assert [layer.name for layer in model.spec.layers] == ["rnn/lstm_cell", "last_step", "Variable_2", "Variable"]


def test_an_embedding_is_told_by_its_name_and_width(tmp_path: Path) -> None:
    model = imported(tmp_path, lstm_cell("rnn/lstm_cell", 3, 4) | {"model/embedding": random(9, 3)})
    assert model.spec.inputs[0].kind == "ids"
    assert any("reads ids" in note for note in model.notes)


def test_what_only_training_needs_is_ignored_and_said(tmp_path: Path) -> None:
    variables = lstm_cell("rnn/lstm_cell", 3, 4)
    extra: dict[str, Array] = {"global_step": np.array(3, dtype=np.int64), "beta1_power": np.float32(0.9).reshape(())}
    for name, array in variables.items():
        extra |= {f"{name}/Adam": array, f"{name}/Adam_1": array, f"{name}/MyOwn": array, f"train/{name}/Momentum": array}
        extra[f"{name}/ExponentialMovingAverage"] = array
    model = imported(tmp_path, variables | extra)
    assert len(model.spec.layers) == 1
    assert any("training alone" in note and "and 7 more" in note for note in model.notes)
    assert any("moving averages" in note for note in model.notes)


def test_cells_of_the_programs_own_names(tmp_path: Path) -> None:
    variables = lstm_cell("encoder/rnn/my_cells", 3, 4)
    assert "`cells: {scope: lstm}`" in refusal(tmp_path, variables)
    model = imported(tmp_path, variables, cells={"encoder/rnn/my_cells": "lstm"})
    np.testing.assert_allclose(answers(model)[0], tensorflow_lstm(X, variables, "encoder/rnn/my_cells"), atol=1e-6)
    assert "layer 'rnn/other': option 'cells'" in refusal(tmp_path, variables, cells={"rnn/other": "lstm"})


def test_an_order_that_names_leave_open(tmp_path: Path) -> None:
    variables = lstm_cell("b/rnn/lstm_cell", 3, 4) | lstm_cell("a/rnn/lstm_cell", 4, 2)
    model = imported(tmp_path, variables)
    assert [layer.name for layer in model.spec.layers] == ["b/rnn/lstm_cell", "a/rnn/lstm_cell"]
    apart = lstm_cell("a/rnn/lstm_cell", 3, 4) | lstm_cell("b/rnn/lstm_cell", 5, 2)
    assert "in which order" in refusal(tmp_path, apart)
    assert "in this order they do not fit" in refusal(tmp_path, apart, order=["a/rnn/lstm_cell", "b/rnn/lstm_cell"])
    assert "layer 'c': option 'order'" in refusal(tmp_path, apart, order=["c"])


def test_what_an_order_leaves_out_is_told_and_refused_where_a_model_can_hardly_miss_it(tmp_path: Path) -> None:
    cells = lstm_cell("a/rnn/lstm_cell", 3, 4)
    left_out = {"junk": random(7), "decoder/attention_wrapper/kernel": random(2, 2)}
    one = imported(tmp_path, cells | left_out, order=["a/rnn/lstm_cell"])
    assert [layer.name for layer in one.spec.layers] == ["a/rnn/lstm_cell"]
    assert one.notes[0] == "Ignored, as `order` does not name them: decoder/attention_wrapper/kernel, junk."
    other = cells | lstm_cell("b/rnn/lstm_cell", 5, 2)
    said = refusal(tmp_path, other, order=["a/rnn/lstm_cell"])
    assert "would use no b/rnn/lstm_cell/bias [8], b/rnn/lstm_cell/kernel [7, 8], which look recurrent" in said
    told = imported(tmp_path, other, order=["a/rnn/lstm_cell"], ignore=["b/rnn/*"])
    assert told.notes[0] == "Ignored, as the description says: b/rnn/lstm_cell/bias, b/rnn/lstm_cell/kernel."
    assert "the table of an embedding" in refusal(tmp_path, cells | {"word_embeddings": random(9, 5)}, order=["a/rnn/lstm_cell"])


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"attention/v": random(6)}, r"attention/v [6] cannot be told"),
        ({"hidden/kernel": random(9, 3)}, "hidden/kernel [9, 3] cannot be told"),
        ({"a/kernel": random(4, 2), "b/kernel": random(4, 2)}, "a/kernel [4, 2], b/kernel [4, 2] cannot be told"),
        ({"rnn/nas_cell/kernel": random(4, 2)}, "this kind of cell is not supported"),
        ({"rnn/layer_norm_basic_lstm_cell/input/gamma": random(4)}, "this kind of cell is not supported"),
        ({"decoder/attention_wrapper/kernel": random(4)}, "this kind of cell is not supported"),
        ({"lstm/recurrent_kernel": random(4, 2)}, "Keras layer's variable"),
        ({"layer/.ATTRIBUTES/VARIABLE_VALUE": random(4, 2)}, "TensorFlow 2's objects"),
        ({"rnn_1/lstm_cell/kernel": random(4, 2)}, "not the variables of one lstm cell"),
        ({"rnn_1/lstm_cell/kernel": random(4, 8), "rnn_1/lstm_cell/bias": random(2, 4)}, "shapes are not those of one lstm"),
        ({"rnn/lstm_cell/w_f_diag": random(4)}, "not the variables of one lstm cell"),
        ({"bidirectional_rnn/fw/gru_cell/w_c": random(4)}, "not the variables of one gru cell"),
        (lstm_cell("bidirectional_rnn/fw/lstm_cell", 4, 2), "one direction is missing"),
        (lstm_cell("r/multi_rnn_cell/cell_1/lstm_cell", 4, 2), "do not follow one another"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, extra: dict[str, Array], said: str) -> None:
    assert said in refusal(tmp_path, lstm_cell("rnn/lstm_cell", 3, 4) | extra)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"nonlinearity": "relu"}, "option 'nonlinearity': this has no meaning for a TensorFlow 1 checkpoint"),
        ({"proj_clip": 1.0}, "option 'proj_clip': the checkpoint holds no projection"),
        ({"merge": "sum"}, "option 'merge': the checkpoint holds no bidirectional_rnn"),
        ({"head": "sequence"}, "option 'head': the checkpoint holds no matrix"),
        ({"activation": "swishy"}, "option 'activation'"),
        ({"cell_clip": 0}, "option 'cell_clip'"),
        ({"forget_bias": float("nan")}, "option 'forget_bias'"),
    ],
)
def test_a_description_that_does_not_fit(tmp_path: Path, description: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, lstm_cell("rnn/lstm_cell", 3, 4), **description)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    variables = lstm_cell("rnn/lstm_cell", 3, 4)
    variables["rnn/lstm_cell/bias"][3] = np.nan
    assert "layer 'rnn/lstm_cell': its bias holds 1 values that are NaN" in refusal(tmp_path, variables)


def test_a_checkpoint_described_layer_by_layer(tmp_path: Path) -> None:
    """A matrix before the cells, as some programs have it, which names alone do not tell."""
    variables = lstm_cell("rnn/lstm_cell", 4, 4) | {"Variable": random(3, 4), "Variable_1": random(4)}
    layers = [
        {"kind": "dense", "units": 4, "activation": "relu", "arrays": ["Variable", "Variable_1"]},
        {"kind": "lstm", "units": 4, "arrays": ["rnn/lstm_cell/kernel", "rnn/lstm_cell/bias"]},
    ]
    inputs = [{"name": "x", "width": 3}]
    model = imported(tmp_path, variables, inputs=inputs, layers=layers, layout="tensorflow1")
    hidden = np.maximum(X @ variables["Variable"] + variables["Variable_1"], 0)
    expected = tensorflow_lstm(hidden, variables, "rnn/lstm_cell")[range(2), [length - 1 for length in LENGTHS]]
    np.testing.assert_allclose(answers(model)[0], expected, atol=1e-6)
    assert any("default forget_bias 1.0" in note for note in model.notes)
