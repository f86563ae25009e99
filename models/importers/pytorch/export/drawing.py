"""The graph of ONNX in the making, into which a program's calls are translated. Knows no operations of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

Array = npt.NDArray[Any]
OPSET: Final = 20
LONGEST: Final = np.iinfo(np.int64).max
MOVING: Final = frozenset({"Transpose", "Squeeze", "Unsqueeze", "Reshape", "Shape", "Concat", "Slice", "Expand", "Cast"})
Size = int | str
"""A whole number, or the tensor of the graph that holds it, a scalar."""


@dataclass
class Drawing:
    """`constants`: by name; names of the drawing's own have a colon, which no program's have.

    `name`: what the nodes that are added now belong to, of which the first that computes has it.
    """

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    name: str = ""
    _taken: set[str] = field(default_factory=set)

    def node(self, operator: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Names of its outputs."""
        number = len(self.nodes)
        name = f"{self.name}:{number}" if operator in MOVING or self.name in self._taken else self.name
        self._taken.add(name)
        made = [f"{self.name}:{number}:{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), made, name=name, **attributes))
        return made

    def maker(self, tensor: str) -> NodeProto | None:
        """The node that makes it."""
        return next((node for node in reversed(self.nodes) if tensor in node.output), None)

    def one(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self.node(operator, inputs, **attributes)[0]

    def constant(self, array: Any) -> str:
        made = f"{self.name}:constant:{len(self.constants)}"
        self.constants[made] = np.asarray(array)
        return made

    def whole(self, numbers: Sequence[Size]) -> str:
        """A vector of whole numbers."""
        if all(isinstance(one, int) for one in numbers):
            return self.constant(np.array(numbers, np.int64))
        zero = self.constant(np.array([0], np.int64))
        parts = [
            self.constant(np.array([one], np.int64)) if isinstance(one, int) else self.one("Unsqueeze", [one, zero])
            for one in numbers
        ]
        return parts[0] if len(parts) == 1 else self.one("Concat", parts, axis=0)

    def transposed(self, x: str, order: Sequence[int]) -> str:
        return x if list(order) == list(range(len(order))) else self.one("Transpose", [x], perm=list(order))

    def squeezed(self, x: str, axes: Sequence[int]) -> str:
        return self.one("Squeeze", [x, self.whole(list(axes))])

    def unsqueezed(self, x: str, axes: Sequence[int]) -> str:
        return self.one("Unsqueeze", [x, self.whole(list(axes))])

    def reshaped(self, x: str, shape: Sequence[Size]) -> str:
        return self.one("Reshape", [x, self.whole(shape)])

    def sliced(self, x: str, axis: int, start: Size, end: Size, step: int = 1) -> str:
        return self.one("Slice", [x, self.whole([start]), self.whole([end]), self.whole([axis]), self.whole([step])])

    def size(self, x: str, axis: int) -> str:
        """A scalar."""
        shape = self.one("Shape", [x])
        return self.squeezed(self.sliced(shape, 0, axis, axis + 1), [0])
