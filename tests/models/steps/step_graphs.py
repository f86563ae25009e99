"""Step graphs as tests draw them: states of several shapes and types, the axis of rows in any place or nowhere, constants, time.

`Drawn.by_hand` feeds one row to onnxruntime as a person would.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.models.importers.onnx.onnx_graphs import OnnxGraph

Array = npt.NDArray[Any]
KINDS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
}


@dataclass(frozen=True)
class DrawnState:
    """rows_at: where the axis of rows stands; None: there is none."""

    name: str
    dtype: str
    features: tuple[int, ...]
    rows_at: int | None

    @property
    def axes(self) -> list[int | str]:
        axes: list[int | str] = list(self.features)
        if self.rows_at is not None:
            axes.insert(self.rows_at, "batch")
        return axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(1 if axis == "batch" else int(axis) for axis in self.axes)


@dataclass(frozen=True)
class Drawn:
    """timed: a call takes [rows, time, width], else [rows, width]; gain: a constant input, by which the graph takes a branch."""

    model: ModelProto
    states: tuple[DrawnState, ...]
    width: int
    batched: bool
    timed: bool
    gain: bool

    def session(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(self.model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def by_hand(
        self, feeds: list[Array], gain: int, starts: dict[str, float] | None = None
    ) -> tuple[list[Array], dict[str, Array]]:
        """feeds: each [T, width]: of a timed graph one call, else one for each of them. What each call answers; the states."""
        session = self.session()
        states = {state.name: np.full(state.shape, (starts or {}).get(state.name, 0.0), state.dtype) for state in self.states}
        answers: list[Array] = []
        for feed in feeds:
            for piece in [feed[np.newaxis]] if self.timed else feed[:, np.newaxis]:
                given = {"x": piece, **states} | ({"gain": np.array(gain, np.int64)} if self.gain else {})
                answer, *after = session.run(None, given)
                states = {state.name: array for state, array in zip(self.states, after, strict=True)}
                answers.append(answer[0])
        return answers, states


def drawn(random: np.random.Generator) -> Drawn:
    width, batched = int(random.integers(1, 5)), bool(random.random() < 0.7)
    timed, gain = bool(random.random() < 0.4), bool(random.random() < 0.5)
    states = []
    for number in range(int(random.integers(1, 4))):
        dtype = "float32" if number == 0 else str(random.choice(list(KINDS)))
        features = tuple(int(size) for size in random.integers(1, 5, int(random.integers(1, 4))))
        rows_at = int(random.integers(0, len(features) + 1)) if batched else None
        states.append(DrawnState(f"{'hcm'[number]}_in", dtype, features, rows_at))
    graph = OnnxGraph(17)
    x = graph.add("ReduceMean", ["x"], axes=[1], keepdims=0) if timed else "x"  # [B, width]
    if gain:
        x = _gained(graph, x)
    mixed = graph.add("MatMul", [x, _numbers(graph, random, width, 3)])  # [B, 3]
    flats, after = [], []
    for state in states:
        flat = _rows_first(graph, state)
        as_float = flat if state.dtype == "float32" else graph.add("Cast", [flat], to=TensorProto.FLOAT)
        size = prod(state.features)
        mixed = graph.add("Add", [mixed, graph.add("MatMul", [as_float, _numbers(graph, random, size, 3)])])
        flats.append((as_float, size))
    mixed = graph.add("Tanh", [mixed])
    for state, (flat, size) in zip(states, flats):
        after.append(_next(graph, random, state, flat, size, mixed))
    answer = graph.add("Relu", [graph.add("MatMul", [mixed, _numbers(graph, random, 3, 2)])])
    if timed and random.random() < 0.5:  # an answer for each step
        answer = graph.add("Add", [graph.unsqueeze(answer, [1]), graph.add("MatMul", ["x", _numbers(graph, random, width, 2)])])
    rows = "batch" if batched else 1
    inputs: dict[str, tuple[int, list[int | str]]] = {"x": (TensorProto.FLOAT, [rows, "time", width] if timed else [rows, width])}
    inputs |= {state.name: (KINDS[state.dtype], state.axes) for state in states}
    if gain:
        inputs["gain"] = (TensorProto.INT64, [])
    model = graph.model(inputs, [answer, *after])
    for entry, state in zip(model.graph.output[1:], states):
        entry.type.tensor_type.elem_type = KINDS[state.dtype]
    return Drawn(model, tuple(states), width, batched, timed, gain)


def _numbers(graph: OnnxGraph, random: np.random.Generator, *shape: int) -> str:
    return graph.constant((random.standard_normal(shape) * 0.5).astype(np.float32))


def _gained(graph: OnnxGraph, x: str) -> str:
    """Twice as loud where gain is 2."""
    condition = graph.add("Equal", ["gain", graph.constant(np.array(2, np.int64))])
    branches = []
    for factor in (2.0, 1.0):
        name = graph.name()
        nodes = [
            helper.make_node("Constant", [], [f"{name}_by"], value=numpy_helper.from_array(np.float32(factor))),
            helper.make_node("Mul", [x, f"{name}_by"], [name]),
        ]
        branches.append(helper.make_graph(nodes, name, [], [helper.make_empty_tensor_value_info(name)]))
        branches[-1].output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return str(graph.add("If", [condition], then_branch=branches[0], else_branch=branches[1]))


def _rows_first(graph: OnnxGraph, state: DrawnState) -> str:
    """[B, numbers]."""
    flat, size = state.name, prod(state.features)
    if state.rows_at:
        places = list(range(len(state.axes)))
        flat = graph.add("Transpose", [flat], perm=[state.rows_at, *(place for place in places if place != state.rows_at)])
    return graph.reshape(flat, [-1, size])


def _next(graph: OnnxGraph, random: np.random.Generator, state: DrawnState, flat: str, size: int, mixed: str) -> str:
    """The output, named as exporters name it."""
    moved = graph.add("MatMul", [mixed, _numbers(graph, random, 3, size)])
    if state.dtype.startswith("int"):  # counts on
        made = graph.add("Add", [flat, graph.add("Add", [graph.add("Mul", [moved, graph.constant(np.float32(0))]), _one(graph)])])
    else:
        made = graph.add("Tanh", [graph.add("Add", [flat, moved])])
    if state.dtype != "float32":
        made = graph.add("Cast", [made], to=KINDS[state.dtype])
    if state.rows_at is None:
        made = graph.reshape(made, list(state.features))
    else:
        made = graph.reshape(made, [-1, *state.features])
        if state.rows_at:
            order = list(range(1, len(state.features) + 1))
            order.insert(state.rows_at, 0)
            made = graph.add("Transpose", [made], perm=order)
    name = state.name.replace("_in", "_out")
    graph.nodes.append(helper.make_node("Identity", [made], [name]))
    return name


def _one(graph: OnnxGraph) -> str:
    return graph.constant(np.float32(1))
