"""States that a graph makes anew in every call, opened: they become inputs of it, and what they are at the end outputs.

Such are what recurrent nodes begin with, where that does not depend on what is fed, and the constant steps that a causal
convolution has put before its first one. So a graph that answers whole rows can be fed piece by piece. Whether it then answers
the same is seen elsewhere. Knows no descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.file import OWN_DOMAINS, opset_of
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS
from cellserve.models.importers.onnx.steps.recurrent_states import FINAL, INITIAL

Array = npt.NDArray[Any]
ROW: Final = "batch"
PADS, VALUE, AXES = 1, 2, 3  # inputs of Pad
PADS_ARE_AN_INPUT: Final = 11  # the operator set since which


@dataclass(frozen=True, slots=True)
class Seen:
    """One tensor in three calls: of one row, of one row and more steps, of several rows (None: it takes one only)."""

    short: Array
    long: Array
    rows: Array | None

    @property
    def time(self) -> int | None:
        """The axis that grew with the steps, if it is one."""
        places = [place for place, sizes in enumerate(zip(self.short.shape, self.long.shape)) if len(set(sizes)) > 1]
        return places[0] if len(places) == 1 and self.short.ndim == self.long.ndim else None

    @property
    def fixed(self) -> bool:
        """Whether it is the same whatever is fed."""
        return self.short.shape == self.long.shape and bool(np.array_equal(self.short, self.long))

    def row_axis(self, rows: int) -> int | None:
        if self.rows is None or self.rows.ndim != self.short.ndim:
            return None
        places = [place for place, sizes in enumerate(zip(self.short.shape, self.rows.shape)) if len(set(sizes)) > 1]
        return places[0] if len(places) == 1 and self.rows.shape[places[0]] == rows else None


@dataclass(frozen=True, slots=True)
class Opened:
    """`states`: inputs with the outputs that are their next values. `initial`: of those that do not begin with zeros."""

    model: ModelProto
    states: dict[str, str]
    initial: dict[str, list[float]]


@dataclass(slots=True)
class Probes:
    """`tensors`: what must be looked at before anything can be opened, by the name of an output that shows it."""

    model: ModelProto
    tensors: dict[str, str] = field(default_factory=dict)


def probed(model: ModelProto) -> Probes | None:
    """The same graph with more outputs. None: no recurrent node begins anew in every call."""
    made = Probes(ModelProto())
    made.model.CopyFrom(model)
    wanted: list[str] = []
    for node in model.graph.node:
        if node.op_type in OPERATORS:
            wanted += [name for name in (*_starts(node), *node.output) if name]
        elif node.op_type == "Pad":
            wanted += [name for name in node.input if name]
        elif node.op_type == "Conv":
            wanted += node.input[:1]
    if not any(node.op_type in OPERATORS for node in model.graph.node):
        return None
    taken = _names(model)
    for name in dict.fromkeys(wanted):
        shown = _free(f"seen::{name}", taken)
        made.tensors[shown] = name
        made.model.graph.node.append(helper.make_node("Identity", [name], [shown]))
        made.model.graph.output.append(helper.make_empty_tensor_value_info(shown))
    return made


def opened(model: ModelProto, seen: Mapping[str, Seen], rows: int, source: str) -> Opened:
    """`seen`: by tensor, all that `probed` asks for; `rows`: in the call of several.

    Raises ImportRefused naming the node that needs what has not been fed yet, or begins with what is fed.
    """
    return _Opening(model, seen, rows, source).done()


class _Opening:
    def __init__(self, model: ModelProto, seen: Mapping[str, Seen], rows: int, source: str) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._seen = seen
        self._rows = rows
        self._source = source
        self._opset = opset_of(model)
        self._names = _names(model)
        self._nodes: list[NodeProto] = []
        self._states: dict[str, str] = {}
        self._initial: dict[str, list[float]] = {}

    def done(self) -> Opened:
        recurrent = 0
        for node in self._model.graph.node:
            own = NodeProto()
            own.CopyFrom(node)
            if node.domain not in OWN_DOMAINS:
                self._nodes.append(own)
            elif node.op_type in OPERATORS:
                recurrent += self._recurrent(own)
            elif node.op_type == "Pad":
                self._pad(own)
            elif node.op_type == "Conv":
                self._convolution(own)
            else:
                self._nodes.append(own)
        if not recurrent:
            raise ImportRefused(self._source, "none of its recurrent nodes goes through the steps that are fed")
        graph = self._model.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        return Opened(self._model, self._states, self._initial)

    def _recurrent(self, node: NodeProto) -> bool:
        """Whether it goes through the steps that are fed; else each of them holds a sequence of its own."""
        ends = [self._seen[name] for name in node.output[FINAL:] if name]
        whole = self._seen.get(node.output[0]) if node.output[0] else None
        if any(end.time is not None for end in ends) or (whole is not None and whole.time != 0):
            self._nodes.append(node)
            return False
        direction = next((one.s.decode() for one in node.attribute if one.name == "direction"), "forward")
        if direction != "forward":
            raise self._refused(node, f"it goes through a row {direction}, which needs the row's end")
        units = next(one.i for one in node.attribute if one.name == "hidden_size")
        states, starts = OPERATORS[node.op_type].states, _starts(node)
        dtype, rows = next(self._seen[name].short.dtype for name in node.output if name), self._row_size(node)
        for place, (letter, name) in enumerate(zip(states, starts)):
            start = self._seen[name] if name else None
            if start is not None and not start.fixed:
                raise self._refused(node, f"what its state {letter} begins with depends on what is fed")
            first = np.zeros(1, dtype) if start is None else start.short
            given = self._state(letter, [1, rows, units], first)
            while len(node.input) <= INITIAL + place:
                node.input.append("")
            node.input[INITIAL + place] = given
            while len(node.output) <= FINAL + place:
                node.output.append("")
            node.output[FINAL + place] = node.output[FINAL + place] or _free(f"{given}_end", self._names)
        self._nodes.append(node)
        for given, end in zip(node.input[INITIAL : INITIAL + len(states)], node.output[FINAL:]):
            self._nodes.append(helper.make_node("Identity", [end], [self._states[given]]))
        return True

    def _row_size(self, node: NodeProto) -> int | str:
        """Of its states, on the axis of rows."""
        named = [(name, 1) for name in node.output[FINAL:]] + [(node.output[0], 2)]
        name, place = next((name, place) for name, place in named if name)
        seen = self._seen[name]
        return ROW if seen.row_axis(self._rows) == place else int(seen.short.shape[place])

    def _pad(self, node: NodeProto) -> None:
        data = self._seen[node.input[0]]
        time, rank = data.time, data.short.ndim
        mode = next((one.s.decode() for one in node.attribute if one.name == "mode"), "constant")
        pads = self._pads(node, rank)
        if time is None or not (pads[time] or pads[rank + time]):
            self._nodes.append(node)
            return
        if pads[rank + time] > 0 or pads[time] < 0 or pads[rank + time] < 0:
            raise self._refused(node, "it puts steps behind those that are fed, or takes some away: it looks ahead")
        if mode != "constant":
            raise self._refused(node, f"what it puts before the first step is made of the steps themselves ({mode})")
        joined = self._with_steps_before(node.input[0], data, time, pads[time], self._value(node))
        rest = [0 if place == time else size for place, size in enumerate(pads)]
        if not any(rest):
            self._nodes.append(helper.make_node("Identity", [joined], [node.output[0]]))
            return
        node.input[0] = joined
        if self._opset < PADS_ARE_AN_INPUT:
            next(one for one in node.attribute if one.name == "pads").ints[:] = rest
        else:
            node.input[PADS] = self._constant(np.array(rest, np.int64))
            if len(node.input) > AXES:
                del node.input[AXES:]
        self._nodes.append(node)

    def _pads(self, node: NodeProto, rank: int) -> list[int]:
        """[before of each axis, behind of each axis]."""
        if self._opset < PADS_ARE_AN_INPUT:
            return list(next(one.ints for one in node.attribute if one.name == "pads"))
        told = self._seen[node.input[PADS]]
        if not told.fixed:
            raise self._refused(node, "how much it pads depends on what is fed")
        given = [int(size) for size in told.short]
        axes = list(range(rank))
        if len(node.input) > AXES and node.input[AXES]:
            axes = [int(axis) % rank for axis in self._seen[node.input[AXES]].short.ravel()]
        pads = [0] * (2 * rank)
        for place, axis in enumerate(axes):
            pads[axis], pads[rank + axis] = given[place], given[len(axes) + place]
        return pads

    def _value(self, node: NodeProto) -> float:
        if self._opset < PADS_ARE_AN_INPUT:
            return float(next((one.f for one in node.attribute if one.name == "value"), 0.0))
        if len(node.input) <= VALUE or not node.input[VALUE]:
            return 0.0
        return float(self._seen[node.input[VALUE]].short.ravel()[0])

    def _convolution(self, node: NodeProto) -> None:
        data = self._seen[node.input[0]]
        time = data.time
        pads = next((one for one in node.attribute if one.name == "pads"), None)
        if time is None or time < 2 or pads is None:
            self._nodes.append(node)
            return
        spatial = data.short.ndim - 2
        before, behind = pads.ints[time - 2], pads.ints[spatial + time - 2]
        if behind:
            raise self._refused(node, "its window reaches beyond the step that it answers: it looks ahead")
        if before:
            node.input[0] = self._with_steps_before(node.input[0], data, time, before, 0.0)
            pads.ints[time - 2] = 0
        self._nodes.append(node)

    def _with_steps_before(self, name: str, data: Seen, time: int, steps: int, value: float) -> str:
        """The tensor with the last steps of the call before in front, and these of this call as the state's next value."""
        axis = data.row_axis(self._rows)
        shape: list[int | str] = [ROW if place == axis else size for place, size in enumerate(data.short.shape)]
        shape[time] = steps
        first = np.full([1 if isinstance(size, str) else size for size in shape], value, data.short.dtype)
        given = self._state("past", shape, first)
        joined = _free(f"{given}_joined", self._names)
        self._nodes.append(helper.make_node("Concat", [given, name], [joined], axis=time))
        self._nodes.append(self._last(joined, self._states[given], time, steps))
        return joined

    def _last(self, name: str, made: str, axis: int, steps: int) -> NodeProto:
        if self._opset < 10:
            return helper.make_node("Slice", [name], [made], axes=[axis], starts=[-steps], ends=[np.iinfo(np.int32).max])
        bounds = (-steps, np.iinfo(np.int64).max, axis)
        return helper.make_node("Slice", [name, *(self._constant(np.array([one], np.int64)) for one in bounds)], [made])

    def _state(self, word: str, shape: Sequence[int | str], first: Array) -> str:
        """first: what it begins with, all of it, or one zero."""
        name = _free(f"{word}{sum(one.startswith(word) for one in self._states)}", self._names)
        after, kind = _free(f"{name}_next", self._names), helper.np_dtype_to_tensor_dtype(first.dtype)
        self._model.graph.input.append(helper.make_tensor_value_info(name, kind, list(shape)))
        self._model.graph.output.append(helper.make_tensor_value_info(after, kind, None))
        self._states[name] = after
        if np.any(first):
            self._initial[name] = [float(one) for one in first.ravel()]
        return name

    def _constant(self, array: Array) -> str:
        name = _free("opened", self._names)
        self._model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _refused(self, node: NodeProto, why: str) -> ImportRefused:
        what = f"{why}, so that its states cannot be kept from feed to feed"
        return ImportRefused(self._source, what, layer=f"{node.name or node.output[0]} ({node.op_type})")


def _starts(node: NodeProto) -> list[str]:
    """What each state begins with; empty names where that is nothing."""
    count = len(OPERATORS[node.op_type].states)
    given = list(node.input[INITIAL : INITIAL + count])
    return given + [""] * (count - len(given))


def _names(model: ModelProto) -> set[str]:
    """Of all tensors, those within branches too."""
    graphs, taken = [model.graph], set[str]()
    while graphs:
        graph = graphs.pop()
        taken |= {one.name for one in (*graph.input, *graph.output)} | {one.name for one in graph.initializer}
        for node in graph.node:
            taken |= {*node.input, *node.output}
            graphs += [one.g for one in node.attribute if one.type == AttributeProto.GRAPH]
    return taken


def _free(name: str, taken: set[str]) -> str:
    """The name itself, or with a number behind it; taken from now on."""
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
