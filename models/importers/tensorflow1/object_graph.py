"""The graph of objects that TensorFlow 2 writes into a checkpoint: which object holds which, and under which key a value is.

A value has one key, whatever ways lead to its object: only the graph says that "variables/3" is a layer's kernel. Source:
tensorflow/core/protobuf/trackable_object_graph.proto. Knows no layers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.tensorflow1.checkpoint import OBJECT_GRAPH, Checkpoint
from cellserve.models.importers.tensorflow1.protobuf_wire import Damaged, content, fields, number

NODES: Final = 1  # of TrackableObjectGraph
CHILDREN, ATTRIBUTES = 1, 2  # of TrackableObject
NODE_ID, LOCAL_NAME = 1, 2  # of ObjectReference
CHECKPOINT_KEY: Final = 3  # of SerializedTensor
VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True, slots=True)
class Node:
    """`children`: numbers of nodes by name. `key`: of its value, "" for what has none."""

    children: Mapping[str, int]
    key: str


@dataclass(frozen=True, slots=True)
class ObjectGraph:
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> ObjectGraph:
        """Raises ImportRefused: damaged."""
        try:
            message = checkpoint.text(OBJECT_GRAPH)
            nodes = tuple(_node(content(value)) for field, value in fields(message) if field == NODES)
            if any(not 0 <= child < len(nodes) for node in nodes for child in node.children.values()):
                raise Damaged("it names objects that it does not hold")
        except (Damaged, UnicodeDecodeError) as error:
            raise ImportRefused(
                str(checkpoint.prefix), f"its graph of objects is damaged or cut short ({error}); copy the checkpoint again"
            ) from error
        return cls(nodes)

    def at(self, start: int, path: tuple[str, ...]) -> int | None:
        """The number of the node to which the names lead; None where they lead nowhere."""
        place: int | None = start
        for name in path:
            place = None if place is None else self.nodes[place].children.get(name)
        return place

    def holder(self, fits: Callable[[Collection[str]], bool]) -> int | None:
        """The nearest to the root whose children have such names."""
        places = self._outward(0) if self.nodes else ()
        return next((place for place in places if fits(self.nodes[place].children)), None)

    def values(self, start: int) -> dict[str, str]:
        """Key by name of the node's own children that have values."""
        children = self.nodes[start].children.items()
        return {name: key for name, child in children if (key := self.nodes[child].key)}

    def values_below(self, start: int) -> set[str]:
        """Keys of all values that are reached from there."""
        return {key for place in self._outward(start) if (key := self.nodes[place].key)}

    def _outward(self, start: int) -> Iterator[int]:
        seen, waiting = {start}, [start]
        for place in waiting:
            yield place
            for child in self.nodes[place].children.values():
                if child not in seen:
                    seen.add(child)
                    waiting.append(child)


def _node(message: bytes) -> Node:
    children: dict[str, int] = {}
    key = ""
    for field, value in fields(message):
        if field == CHILDREN:
            reference = dict(fields(content(value)))
            children[content(reference.get(LOCAL_NAME, b"")).decode("utf-8")] = number(reference.get(NODE_ID, 0))
        elif field == ATTRIBUTES:
            written = content(dict(fields(content(value))).get(CHECKPOINT_KEY, b"")).decode("utf-8")
            key = written if written.endswith(VALUE) else key
    return Node(children, key)
