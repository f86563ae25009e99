"""Random ONNX graphs around recurrent nodes: what onnxruntime answers is what every implementation answers.

Whole, in chunks and in ragged batches, as `parity.verify` runs a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, save_model

from cellserve.models import importers
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.measuring.framework_answers import FrameworkAnswers
from cellserve.models.measuring.framework_parity import against_framework
from cellserve.models.measuring.parity import check
from tests.examples import examples
from tests.models.importers.onnx.onnx_graphs import OnnxGraph, asked, saved

Array = npt.NDArray[Any]
LENGTHS = (9, 6, 2)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FORMS = ("initializer", "node", "pieces", "turned", "unsqueezed")
GATE_FUNCTIONS = [("Sigmoid", ()), ("HardSigmoid", (0.2, 0.5)), ("HardSigmoid", (0.3, 0.5)), ("hardsigmoid", (0.25, 0.4))]
FUNCTIONS = [
    *[("Tanh", ()), ("Relu", ()), ("LeakyRelu", (0.2,)), ("Elu", (0.7,)), ("Softsign", ()), ("Affine", (1.0, 0.0))],
    *[("Affine", (0.5, 0.1)), ("ScaledTanh", (0.9, 1.2)), ("ThresholdedRelu", (0.2,)), ("Softplus", ())],
]


@dataclass(frozen=True)
class Drawn:
    opset: int
    operator: str
    direction: str
    layout: int
    lengths: bool
    zeros: bool
    bias: bool
    extras: bool
    clip: float | None
    functions: tuple[tuple[str, tuple[float, ...]], ...] | None
    forms: tuple[str, ...]
    before: str
    after: str
    second: str
    seed: int
    first: str = "nothing"
    stored: str = "float32"
    branch: bool = False
    outside: bool = False
    other_side: tuple[tuple[str, tuple[float, ...]], ...] | None = None


@st.composite
def drawn_graphs(draw: st.DrawFn) -> Drawn:
    opset = draw(st.sampled_from([7, 9, 11, 13, 14, 17, 20, 22, 26, 28]))
    operator = draw(st.sampled_from(["LSTM", "GRU", "RNN"]))
    function, gate = draw(st.sampled_from(FUNCTIONS)), draw(st.sampled_from(GATE_FUNCTIONS))
    output = draw(st.sampled_from([function, *FUNCTIONS]))
    own = {"LSTM": (gate, function, output), "GRU": (gate, function), "RNN": (function,)}[operator]
    return Drawn(
        opset,
        operator,
        draw(st.sampled_from(["forward", "reverse", "bidirectional"])),
        draw(st.sampled_from([0, 1])) if opset >= 14 else 0,
        draw(st.booleans()),
        draw(st.booleans()) if opset >= 9 else False,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from([None, None, 0.3])),
        draw(st.sampled_from([None, own])),
        tuple(draw(st.lists(st.sampled_from(FORMS), min_size=4, max_size=4))),
        draw(st.sampled_from(["nothing", "dense", "conv"])),
        draw(st.sampled_from(["sequence", "last", "state", "dense", "residual", "mean", "softmax"])),
        draw(st.sampled_from(["", "LSTM", "GRU"])),
        draw(st.integers(0, 1 << 16)),
        draw(st.sampled_from(["nothing", "nothing", "given", "trained"])),
        draw(st.sampled_from(["float32", "float32", "float16", "bfloat16"])) if opset >= 13 else "float32",
        draw(st.booleans()),
        draw(st.booleans()),
        {"LSTM": (gate, output, function), "GRU": (gate, output), "RNN": (output,)}[operator] if draw(st.booleans()) else None,
    )


class Writer:
    """One drawn graph; `layout` is that of its recurrent nodes: 0 is what onnxruntime can be asked."""

    def __init__(self, drawn: Drawn, layout: int) -> None:
        self.drawn = drawn
        self.layout = layout
        self.random = np.random.default_rng(drawn.seed)
        self.graph = OnnxGraph(drawn.opset)
        self.inputs: dict[str, Any] = {"x": (TensorProto.FLOAT, ["batch", "time", 4])}

    def stored(self, array: Array, form: str) -> str:
        """A constant, in as few bits as are drawn."""
        if self.drawn.stored == "float32":
            return self.graph.constant(array, form)
        narrow = np.float16 if self.drawn.stored == "float16" else ml_dtypes.bfloat16
        return str(self.graph.add("Cast", [self.graph.constant(array.astype(narrow))], to=TensorProto.FLOAT))

    def numbers(self, *shape: int) -> Array:
        return (self.random.standard_normal(shape) * 0.4).astype(np.float32)

    def recurrent(self, x: str, operator: str, width: int, units: int, *, plain: bool = False) -> tuple[str, str, int]:
        """(the sequence, the final state, their width), of [B, T, F]."""
        drawn, graph = self.drawn, self.graph
        sides = 2 if drawn.direction == "bidirectional" else 1
        gates = GATES[operator] * units
        inputs = [x, *(self.stored(self.numbers(sides, gates, n), drawn.forms[i]) for i, n in enumerate((width, units)))]
        inputs.append(graph.constant(self.numbers(sides, 2 * gates), drawn.forms[2]) if drawn.bias else "")
        inputs.append("lengths" if drawn.lengths else "")
        states = ["h", "c"] if operator == "LSTM" else ["h"]
        if drawn.first != "nothing" and not plain and drawn.opset >= 9:
            inputs += [self.first(x, name, sides, units) for name in states]
        elif drawn.zeros:
            inputs += [self.zeros(x, sides, units)] * len(states)
        options: dict[str, Any] = {"hidden_size": units, "direction": drawn.direction}
        if drawn.functions is not None and not plain:
            options |= self.functions(sides)
        if drawn.clip is not None:
            options["clip"] = drawn.clip
        if operator == "GRU":
            options["linear_before_reset"] = int(drawn.extras)
        if operator == "LSTM" and drawn.extras and not plain:
            inputs += [""] * (7 - len(inputs)) + [graph.constant(self.numbers(sides, 3 * units), drawn.forms[3])]
            middle = drawn.functions is None or drawn.functions[0][1] != (0.25, 0.4)
            options["input_forget"] = int(drawn.seed % 2) if middle or drawn.clip is None else 0
        if self.layout:
            options["layout"] = 1
        else:
            inputs[0] = graph.add("Transpose", [x], perm=[1, 0, 2])
        y, h = graph.add(operator, inputs, 2, **options)
        if drawn.branch and not plain:
            y, h = self.chosen()
        if self.layout:  # [B, T, D, H], [B, D, H]
            return graph.reshape(y, [0, 0, -1]), graph.add("Flatten", [h], axis=1), sides * units
        turned = graph.add("Transpose", [y], perm=[2, 0, 1, 3])
        states = graph.add("Transpose", [h], perm=[1, 0, 2])
        return graph.reshape(turned, [0, 0, -1]), graph.add("Flatten", [states], axis=1), sides * units

    def chosen(self) -> list[str]:
        """The last node as what an If on a constant chooses."""
        node = self.graph.nodes.pop()
        other = NodeProto()
        other.CopyFrom(node)
        other.output[:] = [f"{name}::other" for name in node.output]
        kept, left = (
            helper.make_graph([one], "branch", [], [helper.make_empty_tensor_value_info(name) for name in one.output])
            for one in (node, other)
        )
        condition = self.graph.constant(np.array(True))
        return list(self.graph.add("If", [condition], 2, then_branch=kept, else_branch=left))

    def first(self, x: str, name: str, sides: int, units: int) -> str:
        """First states that the graph is given, or that were trained: the same for every row."""
        if self.drawn.first == "given":
            self.inputs[name] = (TensorProto.FLOAT, ["batch", sides, units] if self.layout else [sides, "batch", units])
            return name
        trained = self.graph.constant(self.numbers(1, sides, units) if self.layout else self.numbers(sides, 1, units))
        return str(self.graph.add("Add", [self.zeros(x, sides, units), trained]))

    def zeros(self, x: str, sides: int, units: int) -> str:
        """[D, B, H] made of the shape of x [B, T, F]; [B, D, H] in layout 1."""
        graph = self.graph
        rows = graph.unsqueeze(graph.add("Gather", [graph.add("Shape", [x]), graph.constant(np.array(0, np.int64))], axis=0), [0])
        one, last = (graph.constant(np.array([n], np.int64)) for n in (sides, units))
        shape = graph.add("Concat", [rows, one, last] if self.layout else [one, rows, last], axis=0)
        return str(graph.add("ConstantOfShape", [shape]))

    def functions(self, sides: int) -> dict[str, Any]:
        own = self.drawn.functions or ()
        found = [*own, *((self.drawn.other_side or own) if sides == 2 else ())]
        alphas = [parameters[0] for _, parameters in found if parameters]
        betas = [parameters[1] for _, parameters in found if len(parameters) > 1]
        options: dict[str, Any] = {"activations": [name for name, _ in found]}
        return options | ({"activation_alpha": alphas} if alphas else {}) | ({"activation_beta": betas} if betas else {})

    def model(self) -> Any:
        drawn, graph, width = self.drawn, self.graph, 4
        x = "x"
        if drawn.before == "dense":
            x = graph.add("MatMul", [x, graph.constant(self.numbers(4, 5), drawn.forms[3])])
            x, width = graph.add("Tanh", [graph.add("Add", [graph.constant(self.numbers(5)), x])]), 5
        elif drawn.before == "conv" and not drawn.lengths:  # ONNX's convolution sees past a row's own length
            turned = graph.add("Transpose", [x], perm=[0, 2, 1])
            made = graph.add("Conv", [turned, graph.constant(self.numbers(6, 4, 3))], pads=[1, 1], kernel_shape=[3])
            x, width = graph.add("Transpose", [graph.add("LeakyRelu", [made], alpha=0.3)], perm=[0, 2, 1]), 6
        y, h, wide = self.recurrent(x, drawn.operator, width, 5)
        if drawn.second:
            below = y
            y, h, wide = self.recurrent(y, drawn.second, wide, 5, plain=True)
            if drawn.after == "residual":
                y = graph.add("Add", [y, below])
        made = {"state": lambda: h, "last": lambda: self.last(y, h), "mean": lambda: self.mean(y, h)}.get(
            drawn.after, lambda: y
        )()
        if drawn.after in ("dense", "softmax"):
            made = graph.add(
                "Add", [graph.add("MatMul", [made, graph.constant(self.numbers(wide, 3))]), graph.constant(self.numbers(3))]
            )
            made = graph.add(
                "Softmax" if drawn.after == "softmax" else "Sigmoid", [made], **({"axis": 2} if drawn.after == "softmax" else {})
            )
        if drawn.lengths:
            self.inputs["lengths"] = (TensorProto.INT32, ["batch"])
        return graph.model(self.inputs, [made], ir_version=8)

    def last(self, y: str, h: str) -> str:
        """Of padded rows ONNX's last step is none of their own."""
        if self.drawn.lengths:
            return h
        return str(self.graph.add("Gather", [y, self.graph.constant(np.array(-1, np.int64))], axis=1))

    def mean(self, y: str, h: str) -> str:
        return h if self.drawn.lengths or self.drawn.opset >= 18 else str(self.graph.add("ReduceMean", [y], axes=[1], keepdims=0))


def answered(model: Any, drawn: Drawn, x: Array) -> FrameworkAnswers:
    """Each row alone, by onnxruntime."""
    rows = []
    for row, length in enumerate(LENGTHS):
        feeds = {"x": x[row : row + 1, :length]} | ({"lengths": np.array([length], np.int32)} if drawn.lengths else {})
        for entry in model.graph.input:
            if entry.name in ("h", "c"):
                sizes = [dim.dim_value or 1 for dim in entry.type.tensor_type.shape.dim]
                feeds[entry.name] = np.zeros(sizes, np.float32)
        rows.append(asked(model, feeds)[0][0])
    outputs = np.zeros((len(rows), *max(row.shape for row in rows)), np.float32)
    for whole, row in zip(outputs, rows):
        whole[tuple(slice(size) for size in row.shape)] = row
    return FrameworkAnswers("by hand", (x,), (outputs,), LENGTHS, time_major=False)


@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_graphs())
def test_every_implementation_answers_as_onnxruntime_does(drawn: Drawn) -> None:
    with TemporaryDirectory() as folder:
        path, model = Path(folder) / "model.onnx", Writer(drawn, drawn.layout).model()
        if drawn.outside:
            save_model(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
        else:
            saved(path, model)
        imported = importers.load(path)
    assert isinstance(imported, ImportedModel)
    plain = Writer(drawn, 0).model()
    plain.opset_import[0].version = min(drawn.opset, 26)
    x = np.random.default_rng(drawn.seed).standard_normal((len(LENGTHS), max(LENGTHS), 4)).astype(np.float32)
    theirs = answered(plain, drawn, x)
    report = check(imported.spec, imported.weights)
    against_framework(report, imported.spec, imported.weights, (*imported.answers, theirs))
