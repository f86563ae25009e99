"""Which inputs and outputs of a graph are the first and last states of the same recurrent nodes: told by its edges.

Looks at the nodes of the main graph and goes through what only moves numbers. Knows no names' meanings, no sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onnx import GraphProto, NodeProto

from cellserve.models.importers.onnx.layers.recurrent import OPERATORS

Slots = frozenset[tuple[int, int]]
"""Of states: the number of the node, and which of its states."""

CUTTING: Final = frozenset(
    {"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Reshape", "Slice", "Gather", "Split"}
)
JOINING: Final = frozenset({"Concat"})
INITIAL: Final = 5  # of a node's inputs, the first that is a state
FINAL: Final = 1  # likewise of its outputs


def recurrent_states(graph: GraphProto) -> dict[str, tuple[str, ...]]:
    """By input, the outputs that hold the last values of all the states that it is the first value of, and nothing else."""
    makers = {name: node for node in graph.node for name in node.output if name}
    begins = _begins(graph, makers)
    ends: dict[Slots, list[str]] = {}
    slots = {
        name: (number, place)
        for number, node in enumerate(graph.node)
        if node.op_type in OPERATORS
        for place, name in enumerate(node.output[FINAL:])
        if name
    }
    for entry in graph.output:
        if held := _held(entry.name, makers, slots):
            ends.setdefault(held, []).append(entry.name)
    return {name: tuple(ends[held]) for name, held in begins.items() if held in ends}


def _begins(graph: GraphProto, makers: Mapping[str, NodeProto]) -> dict[str, Slots]:
    inputs = {entry.name for entry in graph.input}
    found: dict[str, set[tuple[int, int]]] = {}
    for number, node in enumerate(graph.node):
        if node.op_type not in OPERATORS:
            continue
        last = INITIAL + len(OPERATORS[node.op_type].states)
        for place, name in enumerate(node.input[INITIAL:last]):
            for source in _sources(name, makers):
                if source in inputs:
                    found.setdefault(source, set()).add((number, place))
    return {name: frozenset(slots) for name, slots in found.items()}


def _sources(name: str, makers: Mapping[str, NodeProto]) -> set[str]:
    """What a tensor is cut out of and joined from."""
    left, seen, found = [name], set[str](), set[str]()
    while left:
        one = left.pop()
        if not one or one in seen:
            continue
        seen.add(one)
        maker = makers.get(one)
        if maker is not None and maker.op_type in CUTTING:
            left += maker.input[:1]
        elif maker is not None and maker.op_type in JOINING:
            left += maker.input
        else:
            found.add(one)
    return found


def _held(name: str, makers: Mapping[str, NodeProto], slots: Mapping[str, tuple[int, int]]) -> Slots:
    """The states that an output is made of; none where it is made of anything else, too."""
    sources = _sources(name, makers)
    return frozenset(slots[one] for one in sources) if sources <= slots.keys() else frozenset()
