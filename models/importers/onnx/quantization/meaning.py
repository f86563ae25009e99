"""What the numbers of a quantised ONNX graph mean: its scales and zero points, and the constants that take their place.

A tensor that the file holds in few bits stands in the new graph for the numbers that it means. Knows no operator but those
that move numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.file import OnnxFile, attributes

Array = npt.NDArray[Any]
KEPT: Final = (
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Identity",
    "Slice",
    "Gather",
    "Split",
    "Expand",
    "MaxPool",
)
"""Those that only move numbers, which may lie between quantising and dequantising."""
NEVER_NEGATIVE: Final = ("Relu", "Sigmoid", "Softmax", "HardSigmoid")


@dataclass(slots=True)
class Meaning:
    """`constants`: of the main graph, to which new ones are added; `made`: which node makes what; `tables`: those of the new
    constants that whole numbers were taken out of, with their scale and zero point.
    """

    file: OnnxFile
    constants: dict[str, Array]
    made: dict[str, NodeProto] = field(default_factory=dict)
    tables: dict[str, tuple[float, float]] = field(default_factory=dict)
    count: int = 0

    def read(self, graph: GraphProto) -> None:
        """The constants and the nodes of a graph, or of a branch of one."""
        for tensor in graph.initializer:
            if tensor.name not in self.constants:
                self.constants[tensor.name] = self.file.reader.read(tensor)
        for node in graph.node:
            self.made.update(dict.fromkeys(node.output, node))

    def constant(self, array: Array) -> str:
        self.count += 1
        name = f"dequantised::{self.count}"
        self.constants[name] = np.ascontiguousarray(array, np.float32)
        return name

    def known(self, name: str) -> Array | None:
        if name in self.constants:
            return self.constants[name]
        node = self.made.get(name)
        if node is not None and node.op_type == "Constant":
            value = next(iter(attributes(node, self.file.reader).values()))
            return np.asarray(value)
        return None

    def number(self, node: NodeProto, place: int, default: float | None = None) -> Array:
        """A scale or a zero point."""
        if place >= len(node.input) or not node.input[place]:
            if default is None:
                raise self.refused(node, f"it has no input {place}")
            return np.array(default)
        array = self.known(node.input[place])
        if array is None:
            raise self.refused(node, f"its input {node.input[place]!r} is computed from the model's inputs")
        return array

    def weights(self, node: NodeProto, place: int, scale: Array, zero: Array) -> Array:
        return (self.number(node, place).astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)

    def begins_at_zero(self, node: NodeProto, place: int) -> bool:
        """Whether what is stored under this zero point is never below zero: it is the smallest number of its type."""
        if place >= len(node.input) or not node.input[place]:
            return True  # of uint8, as a quantising without a zero point is
        zero = self.number(node, place)
        return zero.dtype.kind in "iu" and bool((zero == np.iinfo(zero.dtype).min).all())

    def never_negative(self, name: str) -> bool:
        node = self.made.get(name)
        for _ in self.made:
            if node is None or node.op_type not in (*KEPT, "DequantizeLinear"):
                break
            node = self.made.get(node.input[0])
        if node is None:
            return False
        return node.op_type in NEVER_NEGATIVE or (node.op_type == "QuantizeLinear" and self.begins_at_zero(node, 2))

    def stored(self, node: NodeProto, made: NodeProto, place: int) -> Iterator[NodeProto]:
        """What a node makes, as the zero point of its result has it."""
        if not self.begins_at_zero(node, place):
            yield made
            return
        result = made.output[0]
        made.output[0] = f"{result}::before"
        yield made
        yield helper.make_node("Relu", [made.output[0]], [result])

    def operand(self, node: NodeProto, place: int) -> str:
        """An input beside its scale and its zero point: as it is, or, where it is constant, what it means."""
        if self.known(node.input[place]) is None:
            return str(node.input[place])
        return self.constant(self.weights(node, place, self.number(node, place + 1), self.number(node, place + 2, 0.0)))

    def refused(self, node: NodeProto, what: str) -> ImportRefused:
        name = node.name or next(iter(node.output), "")
        return ImportRefused(str(self.file.path), f"it cannot be dequantised: {what}", layer=f"{name} ({node.op_type})")

    def counts_steps(self, rounding: NodeProto) -> bool:
        """Whether it rounds a constant that was divided by a scale that is found anew in every call."""
        division = self.made.get(rounding.input[0])
        if division is None or division.op_type != "Div" or self.known(division.input[0]) is None:
            return False
        scale = self.made.get(division.input[1])
        factors = [division.input[1]] if scale is None or scale.op_type != "Mul" else list(scale.input)
        makers = [(name, self.made.get(name)) for name in factors]
        return any(
            maker is not None and maker.op_type == "DynamicQuantizeLinear" and list(maker.output).index(name) == 1
            for name, maker in makers
        )

    def source(self, name: str) -> tuple[NodeProto, str]:
        """What made it, with what only moves numbers looked through: (the node that reads it, what it reads)."""
        node = self.made[name]
        for _ in self.made:
            if node.op_type not in KEPT or node.input[0] not in self.made or self.made[node.input[0]].op_type == "Constant":
                break
            node = self.made[node.input[0]]
        return node, node.input[0] if node.input else ""

    def scale_of(self, name: str) -> Array | None:
        """Of numbers that a QuantizeLinear made with constants, its scale; None of others, which are given without one."""
        if name not in self.made:
            return None
        node, _ = self.source(name)
        return self.number(node, 1) if node.op_type == "QuantizeLinear" else None
