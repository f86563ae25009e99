"""WHILE as ONNX's Loop: what is handed on from step to step is told apart into counters, constants, collected steps and states.

TensorFlow's converter writes so every recurrent layer that has no fused operator: GRUs, and all layers of Keras 3. What a step
computes is for whoever reads the Loop. Knows no cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.tflite.call import Call, Emitter
from cellserve.models.importers.tflite.file import Graph, Operator

Array = npt.NDArray[Any]
Follow = Callable[[Graph, Sequence[Operator], dict[int, str], dict[int, Array], Emitter, str], None]
Known = Callable[[Graph], dict[int, Array]]
RESHAPES: Final = ("RESHAPE", "EXPAND_DIMS", "CAST")
WAY_OUT: Final = "; import the model that it was converted from (.keras, .h5)"


@dataclass(frozen=True, slots=True)
class Collected:
    """A tensor into which each step puts what it made: at its own place, or, `last`, always at the only one."""

    item: int
    last: bool


@dataclass(frozen=True, slots=True)
class Loop:
    """A WHILE on paper. Places are those of what it hands on; numbers are tensors of the body."""

    call: Call
    body: Graph
    condition: Graph
    known: Mapping[int, Array]

    @property
    def places(self) -> range:
        return range(len(self.body.inputs))

    def maker(self, number: int) -> Operator | None:
        return next((one for one in self.body.operators if number in one.outputs), None)

    def kept(self, place: int) -> bool:
        return self.body.inputs[place] == self.body.outputs[place]

    def counts(self, place: int) -> bool:
        """Whether it is 0, 1, 2 …: the number of the step."""
        start = self.call.known.get(self.call.operator.input(place))
        if start is None or start.dtype.kind not in "iu" or start.size != 1 or start.any():
            return False
        return self._one_more(self.body.outputs[place], self.body.inputs[place])

    def _one_more(self, number: int, before: int) -> bool:
        node = self.maker(number)
        if node is None or node.kind != "ADD" or before not in node.inputs:
            return False
        other = next((one for one in node.inputs if one != before), -1)
        return other in self.known and self.known[other].ravel().tolist() == [1]

    def collected(self, place: int, counters: set[int]) -> Collected | None:
        """None: it is no such tensor. counters: numbers of the step's number."""
        own, node = self.body.inputs[place], self.maker(self.body.outputs[place])
        readers = [one for one in self.body.operators if own in one.inputs]
        if node is None:
            return None
        if node.kind == "RESHAPE" and not readers and self.body.tensors[own].shape[:1] == (1,):
            return Collected(node.inputs[0], last=True)
        if node.kind == "DYNAMIC_UPDATE_SLICE" and readers == [node] and self._leads(node.inputs[2], counters, 0):
            return self._at_its_place(node.inputs[1])
        if node.kind != "CONCATENATION" or len(node.inputs) != 3 or node.options.get("Axis") != 0:
            return None
        before, item, after = node.inputs
        cuts = [self.maker(before), self.maker(after)]
        if any(cut is None or cut.kind != "SLICE" or cut.inputs[0] != own for cut in cuts) or len(readers) != 2:
            return None
        first, rest = (cut for cut in cuts if cut is not None)
        begin, size = self.known.get(first.inputs[1]), self.known.get(rest.inputs[2])
        whole = begin is not None and not begin.any() and size is not None and (size == -1).all()
        if not whole or not self._leads(first.inputs[2], counters, -1):
            return None
        following = {self.body.outputs[p] for p in self.places if self.body.inputs[p] in counters}
        return self._at_its_place(item) if self._leads(rest.inputs[1], following, 0) else None

    def _at_its_place(self, number: int) -> Collected | None:
        node = self.maker(number)
        return Collected(node.inputs[0], last=False) if node is not None and node.kind in ("RESHAPE", "EXPAND_DIMS") else None

    def _leads(self, number: int, counters: set[int], rest: int) -> bool:
        """Whether a list is one of these numbers, and then `rest` for each further axis."""
        node = self.maker(number)
        if node is None or node.kind not in ("CONCATENATION", "PACK"):
            return False
        others = [self.known.get(one) for one in node.inputs[1:]]
        return self._origin(node.inputs[0]) in counters and all(one is not None and (one == rest).all() for one in others)

    def _origin(self, number: int) -> int:
        for _ in self.body.operators:
            node = self.maker(number)
            if node is None or node.kind not in RESHAPES:
                break
            number = node.inputs[0]
        return number

    def bounds(self) -> Iterator[tuple[int, int]]:
        """(place of a counter, number in the condition of what it stays below)."""
        left = [self.condition.outputs[0]]
        while left:
            node = next((one for one in self.condition.operators if left[-1] in one.outputs), None)
            left.pop()
            if node is not None and node.kind == "LOGICAL_AND":
                left += node.inputs
            elif node is not None and node.kind == "LESS" and node.inputs[0] in self.condition.inputs:
                yield self.condition.inputs.index(node.inputs[0]), node.inputs[1]
            else:
                raise self.refused("it ends when something else than its number of steps says so")

    def refused(self, what: str) -> ImportRefused:
        return self.call.refused(f"it runs a graph step by step that is no recurrent layer known here: {what}{WAY_OUT}")


def loop(call: Call, graphs: Sequence[Graph], known_of: Known, follow: Follow) -> list[str]:
    """known_of: a graph's constants; follow: turns operators of a graph. "": an output that has no value outside."""
    numbers = [int(call.option(f"{name}SubgraphIndex", -1)) for name in ("Cond", "Body")]
    if not all(0 < number < len(graphs) for number in numbers):
        raise call.refused("the graphs that it runs are not in the file; it is damaged")
    condition, body = (graphs[number] for number in numbers)
    count = len(call.operator.inputs)
    if not len(body.inputs) == len(body.outputs) == len(condition.inputs) == len(call.operator.outputs) == count:
        raise call.refused("its graphs do not hand on what they are given; the file is damaged")
    known = known_of(body)
    one = Loop(call, body, condition, known)
    counters = [place for place in one.places if one.counts(place)]
    steps = {body.inputs[place] for place in counters}
    collected = {
        place: found
        for place in one.places
        if place not in counters and not one.kept(place) and (found := one.collected(place, steps)) is not None
    }
    states = [place for place in one.places if place not in (*counters, *collected) and not one.kept(place)]
    trips = _trips(one, counters, known_of(condition), steps)
    return _emitted(one, counters, collected, states, trips, known, follow)


def _emitted(
    one: Loop,
    counters: Sequence[int],
    collected: Mapping[int, Collected],
    states: Sequence[int],
    trips: str,
    known: dict[int, Array],
    follow: Follow,
) -> list[str]:
    call, body, outer = one.call, one.body, one.call.emitter
    inner = Emitter(outer.source, constants=outer.constants, taken=outer.taken, of_step=True)
    number, going = (outer.free(f"{call.name}/{name}") for name in ("step", "going"))
    values = {n: inner.constant(body.tensors[n].name, array) for n, array in known.items()}
    values |= {body.inputs[place]: number for place in counters}
    for place in one.places:
        if one.kept(place) and call.operator.input(place) in call.values:
            values[body.inputs[place]] = call.value(place)
            if call.operator.input(place) in call.known:
                known[body.inputs[place]] = call.known[call.operator.input(place)]
    entries = [
        helper.make_tensor_value_info(number, TensorProto.INT64, []),
        helper.make_tensor_value_info(going, TensorProto.BOOL, []),
    ]
    for place in states:
        tensor = body.tensors[body.inputs[place]]
        values[body.inputs[place]] = name = outer.free(f"{call.name}/{tensor.name}")
        entries.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(tensor.shape)))
    made = [body.outputs[place] for place in states]
    scanned = [found.item for found in collected.values() if not (found.last and found.item in made)]
    follow(body, _needed(body, [*made, *scanned]), values, known, inner, f"{call.name}/")
    for value in (*made, *scanned):
        if value not in values:
            raise call.refused("its graph does not make what it hands on; the file is damaged")
    ends = [inner.add("Identity", call.name, [value], 1, {})[0] for value in (going, *(values[n] for n in (*made, *scanned)))]
    graph = helper.make_graph(inner.nodes, call.name, entries, [helper.make_empty_tensor_value_info(end) for end in ends])
    given = [trips, "", *(_start(call, place) for place in states)]
    outputs = call.emit_several("Loop", len(made) + len(scanned), *given, body=graph)
    after = dict(zip(states, outputs))
    sequences = dict(zip(scanned, outputs[len(made) :]))
    for place, found in collected.items():
        if not found.last:
            after[place] = sequences[found.item]
            continue
        last = (
            after[states[made.index(found.item)]] if found.item in made
            else call.emit("Gather", sequences[found.item], call.constant("last", np.array(-1, np.int64)), axis=0)
        )  # fmt: skip
        after[place] = call.emit("Unsqueeze", last, call.whole("axes", [0]))
    kept = {place: call.value(place) for place in one.places if one.kept(place) and call.operator.input(place) in call.values}
    return [after.get(place) or kept.get(place, "") for place in one.places]


def _start(call: Call, place: int) -> str:
    """What a state begins with: of constants that are the same for all rows, one row."""
    array = call.known.get(call.operator.input(place))
    if array is not None and array.ndim == 2 and len(array) and (array == array[:1]).all():
        return call.constant("start", array[:1])
    return call.value(place)


def _trips(one: Loop, counters: Sequence[int], known: Mapping[int, Array], steps: set[int]) -> str:
    """How often it runs: the least of its bounds. One that is the length of the sequence it reads is that length."""
    call, lengths, found = one.call, _lengths(one, steps), []
    for counter, bound in one.bounds():
        if counter not in counters:
            raise one.refused("it ends when something else than its number of steps says so")
        if bound in known and known[bound].size == 1:
            number = int(known[bound].ravel()[0])
            found.append(lengths.get(number) or call.constant("trips", np.array(number, np.int64)))
        elif bound in one.condition.inputs and one.kept(place := one.condition.inputs.index(bound)):
            found.append(call.emit("Cast", call.value(place), to=TensorProto.INT64))
        else:
            raise one.refused("what its number of steps stays below is not known")
    if not found:
        raise one.refused("it never ends")
    unique = list(dict.fromkeys(found))
    return unique[0] if len(unique) == 1 else call.emit("Min", *unique)


def _lengths(one: Loop, steps: set[int]) -> dict[int, str]:
    """Of the sequences of which each step takes its own, by the number that the file has."""
    found: dict[int, str] = {}
    for node in one.body.operators:
        if (
            node.kind == "GATHER"
            and node.inputs[1] in steps
            and node.inputs[0] in one.body.inputs
            and not node.options.get("Axis")
        ):
            place = one.body.inputs.index(node.inputs[0])
            shape = one.body.tensors[node.inputs[0]].shape
            if shape and one.kept(place) and one.call.operator.input(place) in one.call.values and shape[0] not in found:
                sizes = one.call.emit("Shape", one.call.value(place))
                found[shape[0]] = one.call.emit("Gather", sizes, one.call.constant("first", np.array(0, np.int64)), axis=0)
    return found


def _needed(body: Graph, outputs: Sequence[int]) -> list[Operator]:
    wanted, kept = set(outputs), []
    for operator in reversed(body.operators):
        if wanted & set(operator.outputs):
            kept.append(operator)
            wanted |= set(operator.inputs)
    return kept[::-1]
