"""Loops that go through a sequence step by step, in the ways in which exporters write cells; each is held against onnxruntime.

The import does that itself, at several lengths; so what is asked here is which layer it found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from cellserve.models import importers, reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.imported import ImportedModel
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
RANDOM = np.random.default_rng(11)
WIDTH, UNITS = 4, 5
X: Final = {"x": (TensorProto.FLOAT, ["batch", "time", WIDTH])}
GATES: Final = {"lstm": 4, "gru_after": 3, "gru_before": 3, "rnn": 1}


def numbers(*shape: int) -> Array:
    return (RANDOM.standard_normal(shape) * 0.4).astype(np.float32)


class Body:
    """The graph of one step, in one of several hands. `x`, `states`: names of what it is given."""

    def __init__(self, cell: str, hand: str) -> None:
        self.cell, self.hand = cell, hand
        self.graph = OnnxGraph(opset=15, prefix="inner")
        self.sigmoid = "HardSigmoid" if hand == "hard" else "Sigmoid"

    def constant(self, array: Array) -> str:
        return self.graph.constant(np.asarray(array, np.float32))

    def add(self, operator: str, *inputs: str, **options: Any) -> str:
        return str(self.graph.add(operator, list(inputs), **options))

    def gates(self, x: str, h: str, count: int) -> list[str]:
        """Sums of both products: in one product for all gates and cut, or one for each; a Gemm holds its matrix turned."""
        kernel, recurrent, bias = numbers(WIDTH, count * UNITS), numbers(UNITS, count * UNITS), numbers(count * UNITS)
        if self.hand == "each":
            columns = [slice(gate * UNITS, (gate + 1) * UNITS) for gate in range(count)]
            return [
                self.add(
                    "Add",
                    self.add("MatMul", x, self.constant(kernel[:, one])),
                    self.add("Gemm", h, self.constant(recurrent[:, one].T), self.constant(bias[one]), transB=1),
                )
                for one in columns
            ]
        if self.hand == "joined":
            both = self.constant(np.concatenate([kernel, recurrent]))
            whole = self.add("Add", self.add("MatMul", self.add("Concat", x, h, axis=1), both), self.constant(bias))
        else:
            given = self.add("Add", self.add("MatMul", x, self.constant(kernel)), self.constant(bias))
            whole = self.add("Add", given, self.add("MatMul", h, self.constant(recurrent)))
        if self.hand == "sliced":
            axes = self.graph.constant(np.array([1], np.int64))
            bounds = [
                [self.graph.constant(np.array([n], np.int64)) for n in (at * UNITS, (at + 1) * UNITS)] for at in range(count)
            ]
            return [self.add("Slice", whole, *bound, axes) for bound in bounds]
        made = self.graph.add("Split", [whole], count, axis=1) if count > 1 else [whole]
        return list(made)

    def step(self, x: str, states: list[str]) -> list[str]:
        """The new states, h first."""
        h = states[0]
        if self.cell == "rnn":
            return [self.add("Tanh", self.gates(x, h, 1)[0])]
        if self.cell == "lstm":
            i, f, g, o = self.gates(x, h, 4)
            kept = self.add("Mul", self.add(self.sigmoid, f), states[1])
            c = self.add("Add", kept, self.add("Mul", self.add(self.sigmoid, i), self.add("Tanh", g)))
            return [self.add("Mul", self.add("Tanh", c), self.add(self.sigmoid, o)), c]
        z, r = (self.add(self.sigmoid, gate) for gate in self.gates(x, h, 2))
        given = self.add("MatMul", x, self.constant(numbers(WIDTH, UNITS)))
        if self.cell == "gru_before":
            carried = self.add("MatMul", self.add("Mul", r, h), self.constant(numbers(UNITS, UNITS)))
        else:
            product = self.add("Add", self.add("MatMul", h, self.constant(numbers(UNITS, UNITS))), self.constant(numbers(UNITS)))
            carried = self.add("Mul", r, product)
        candidate = self.add("Tanh", self.add("Add", given, carried))
        if self.hand == "each":  # n + z (h - n)
            return [self.add("Add", candidate, self.add("Mul", z, self.add("Sub", h, candidate)))]
        rest = self.add("Sub", self.constant(np.array(1.0)), z)
        return [self.add("Add", self.add("Mul", z, h), self.add("Mul", rest, candidate))]


def looping(cell: str, hand: str, change: str = "") -> Any:
    """A model: x [B, T, F] turned round, a Loop, its sequence and its last state."""
    graph, body = OnnxGraph(opset=15), Body(cell, hand)
    turned = graph.add("Transpose", ["x"], perm=[1, 0, 2])
    shape = graph.add("Shape", ["x"])
    rows, steps = (graph.add("Gather", [shape, graph.constant(np.array(at, np.int64))]) for at in (0, 1))
    sizes = [graph.unsqueeze(rows, [0]), graph.constant(np.array([UNITS], np.int64))]
    zeros = graph.add("ConstantOfShape", [graph.add("Concat", sizes, axis=0)])
    names = ["h", "c"][: 2 if cell == "lstm" else 1]
    step = body.graph.add("Gather", [turned, "counter"], axis=0)
    if change == "gap":
        step = body.add("Mul", step, body.add("Tanh", step))
    new = body.step(step, names)
    for _ in range(200 if change == "powers" else 0):
        new[0] = body.add("Mul", new[0], new[0])
    if change == "mask":
        positive = body.graph.add("Greater", [new[0], body.constant(np.zeros(1))])
        new[0] = body.graph.add("Where", [positive, new[0], "h"])
    count = body.graph.add("Add", ["counter", body.graph.constant(np.array(1, np.int32))])
    more = body.graph.add("Identity", ["go"])
    if change.startswith("until"):  # as tf2onnx writes a while of TensorFlow
        ends, count_, far = (body.graph.add("Cast", [one], to=TensorProto.FLOAT) for one in (steps, count, "number"))
        less = [count_, ends] if change != "until the other way round" else [ends, count_]
        more = body.graph.add("Less", less)
        if change == "until both":
            more = body.graph.add("And", [body.graph.add("Less", [far, body.constant(np.array(1e6))]), more])
    shown = body.graph.add("Identity", [new[0]]) if change != "other" else body.add("Tanh", new[0])
    inner = helper.make_graph(
        body.graph.nodes,
        "step",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("counter", TensorProto.INT32, []),
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names),
        ],
        [helper.make_empty_tensor_value_info(name) for name in (more, count, *new, shown)],
        [numpy_helper.from_array(array, name) for name, array in body.graph.constants.items()],
    )
    trips = graph.add("Sub", [steps, graph.constant(np.array(1, np.int64))]) if change == "short" else steps
    trips = "" if change.startswith("until") else trips
    go, start = graph.constant(np.array(True)), graph.constant(np.array(0, np.int32))
    _, *last, sequence = graph.add("Loop", [trips, go, start, *[zeros] * len(names)], 2 + len(names), body=inner)
    return graph.model(X, [graph.add("Transpose", [sequence], perm=[1, 0, 2]), last[0]])


def load(tmp_path: Path, *arguments: str) -> ImportedModel:
    return importers.load(saved(tmp_path / "loop.onnx", looping(*arguments)))


@pytest.mark.parametrize("hand", ["whole", "each", "sliced", "joined", "hard"])
@pytest.mark.parametrize("cell", sorted(GATES))
def test_a_loop_is_the_cell_that_its_step_computes(tmp_path: Path, cell: str, hand: str) -> None:
    model = looping(cell, hand)
    imported = importers.load(saved(tmp_path / "loop.onnx", model))
    (layer,) = imported.spec.layers
    assert layer.kind == {"lstm": "lstm", "rnn": "simple_rnn"}.get(cell, "gru")
    if cell.startswith("gru"):
        assert layer.model_dump()["reset_after"] == (cell == "gru_after")
    assert imported.notes == (f"The graph's output {model.graph.output[1].name} is state.0.h, the state that a reply can hold.",)
    x = numbers(3, 6, WIDTH)
    outputs, final = reference.run(imported.spec, imported.weights.arrays, (x,), [6, 6, 6])
    sequence, last = asked(model, {"x": x})
    np.testing.assert_allclose(outputs[0], sequence, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(final["0.h"], last, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("change", ["until", "until both"])
def test_a_loop_may_say_itself_that_it_ends_with_the_sequence(tmp_path: Path, change: str) -> None:
    (layer,) = load(tmp_path, "gru_before", "whole", change).spec.layers
    assert layer.kind == "gru"


REFUSED: Final = {
    "gap": "what it makes of the step before is not LSTM, GRU or a simple RNN",
    "mask": "Greater of these is nothing that a cell does",
    "other": "it collects something else than its state after each step",
    "short": "it does not run once for each step of the sequence",
    "until the other way round": "it does not run once for each step of the sequence",
}


@pytest.mark.parametrize("change", sorted(REFUSED))
def test_another_loop_is_refused_with_what_of_it_is_no_cell_and_the_way_out(tmp_path: Path, change: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        load(tmp_path, "gru_after", "whole", change)
    assert REFUSED[change] in str(caught.value)
    assert "import the model's own file instead (.keras, .h5 or its state dict)" in str(caught.value)


def test_a_loop_whose_equations_grow_without_bound_is_refused(tmp_path: Path) -> None:
    """Squares of squares: each is one node, and twice as many factors."""
    with pytest.raises(ImportRefused, match="is no cell known here"):
        load(tmp_path, "gru_after", "whole", "powers")


def test_ids_that_count_from_the_end_below_zero_are_looked_up_as_they_are(tmp_path: Path) -> None:
    """As Keras writes an embedding: whole numbers made of floats, and the table's size added to those below zero."""
    graph = OnnxGraph(opset=15)
    ids = graph.add("Cast", ["x"], to=TensorProto.INT32)
    below = graph.add("Less", [ids, graph.constant(np.array(0, np.int32))])
    around = graph.add("Add", [ids, graph.constant(np.array(9, np.int32))])
    places = graph.add("Where", [below, around, ids])
    for _ in range(60):  # each twice as often made of the ids as the one before
        places = graph.add("Max", [places, places])
    rows = graph.add("Gather", [graph.constant(numbers(9, WIDTH)), places])
    arrays = [graph.constant(array) for array in (numbers(1, 4 * UNITS, WIDTH), numbers(1, 4 * UNITS, UNITS))]
    y = graph.add("LSTM", [graph.add("Transpose", [rows], perm=[1, 0, 2]), *arrays], hidden_size=UNITS)
    model = graph.model(
        {"x": (TensorProto.FLOAT, ["batch", "time"])}, [graph.add("Transpose", [graph.squeeze(y, [1])], perm=[1, 0, 2])]
    )
    spec = importers.load(saved(tmp_path / "ids.onnx", model)).spec
    assert [layer.kind for layer in spec.layers] == ["embedding", "lstm"]
    assert spec.inputs[0].kind == "ids"


def test_a_convolution_over_an_axis_of_size_one_is_one_over_time(tmp_path: Path) -> None:
    """As TensorFlow's converter writes Conv1D and MaxPooling1D."""
    graph = OnnxGraph(opset=15)
    wide = graph.unsqueeze(graph.add("Transpose", ["x"], perm=[0, 2, 1]), [2])
    made = graph.add("Conv", [wide, graph.constant(numbers(6, WIDTH, 1, 3))], auto_pad="SAME_UPPER", kernel_shape=[1, 3])
    made = graph.add("MaxPool", [graph.add("Relu", [made])], kernel_shape=[1, 2], strides=[1, 2])
    arrays = [graph.constant(array) for array in (numbers(1, 4 * UNITS, 6), numbers(1, 4 * UNITS, UNITS))]
    steps = graph.add("Transpose", [graph.squeeze(made, [2])], perm=[2, 0, 1])
    y = graph.squeeze(graph.add("LSTM", [steps, *arrays], hidden_size=UNITS), [1])
    spec = importers.load(saved(tmp_path / "wide.onnx", graph.model(X, [graph.add("Transpose", [y], perm=[1, 0, 2])]))).spec
    assert [layer.kind for layer in spec.layers] == ["conv1d", "pooling_1d", "lstm"]
