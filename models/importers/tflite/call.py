"""An operator of a TFLite graph as its function sees it, and the ONNX nodes that it becomes. Knows no operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.tflite.file import Graph, Operator, Tensor

Array = npt.NDArray[Any]
ACTIVATIONS: Final = ("", "Relu", "RELU_N1_TO_1", "RELU6", "Tanh", "SIGN_BIT")  # by the schema's numbers
CLIPS: Final[Mapping[str, tuple[float, float]]] = {"RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0)}


@dataclass
class Emitter:
    """The ONNX graph in the making."""

    source: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def free(self, wanted: str) -> str:
        """A name like it that nothing has."""
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}::{number}"
        self.taken.add(name)
        return name

    def constant(self, wanted: str, array: Array) -> str:
        name = self.free(wanted)
        self.constants[name] = array
        return name

    def add(self, kind: str, name: str, inputs: Sequence[str], outputs: int, options: Mapping[str, Any]) -> list[str]:
        made = [self.free(f"{name}/{kind}") for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), made, made[0], **options))
        return made


@dataclass(frozen=True, slots=True)
class Call:
    """`values`: tensors by number, as the ONNX graph names them; `known`: those that are constants, in what they mean."""

    operator: Operator
    name: str
    graph: Graph
    values: Mapping[int, str]
    known: Mapping[int, Array]
    emitter: Emitter

    def refused(self, what: str) -> ImportRefused:
        return ImportRefused(self.emitter.source, what, layer=f"{self.name} ({self.operator.kind})")

    def has(self, place: int) -> bool:
        return self.operator.input(place) >= 0

    def tensor(self, place: int) -> Tensor:
        if not self.has(place):
            raise self.refused(f"it has no input {place}; the file may be damaged")
        return self.graph.tensors[self.operator.input(place)]

    def made(self, place: int = 0) -> Tensor:
        """An output."""
        if place >= len(self.operator.outputs):
            raise self.refused(f"it has no output {place}; the file may be damaged")
        return self.graph.tensors[self.operator.outputs[place]]

    def value(self, place: int) -> str:
        """An input as the ONNX graph has it."""
        number, tensor = self.operator.input(place), self.tensor(place)
        if number not in self.values:
            raise self.refused(
                f"it reads {tensor.name!r}, which TFLite keeps from call to call" if tensor.variable
                else f"it reads {tensor.name!r}, which no earlier operator makes, or of the type {tensor.type or 'unknown'}"
            )  # fmt: skip
        return self.values[number]

    def array(self, place: int, what: str) -> Array:
        """A constant. Raises ImportRefused: none, or one that the graph computes."""
        array = self.known.get(self.operator.input(place)) if self.has(place) else None
        if array is None:
            raise self.refused(f"its {what} is computed by the graph, or missing")
        return array

    def optional(self, place: int, what: str) -> Array | None:
        return self.array(place, what) if self.has(place) else None

    def numbers(self, place: int, what: str) -> list[int]:
        return [int(number) for number in np.ravel(self.array(place, what))]

    def option(self, name: str, default: int = 0) -> Any:
        return self.operator.options.get(name, default)

    def whole(self, wanted: str, numbers: Sequence[int]) -> str:
        return self.emitter.constant(f"{self.name}/{wanted}", np.array(numbers, np.int64))

    def constant(self, wanted: str, array: Array) -> str:
        return self.emitter.constant(f"{self.name}/{wanted}", array)

    def emit(self, kind: str, *inputs: str, **options: Any) -> str:
        return self.emit_several(kind, 1, *inputs, **options)[0]

    def emit_several(self, kind: str, outputs: int, *inputs: str, **options: Any) -> list[str]:
        return self.emitter.add(kind, self.name, inputs, outputs, options)

    def transposed(self, value: str, *order: int) -> str:
        return self.emit("Transpose", value, perm=list(order))

    def activation(self) -> str:
        """What is fused into it, as ONNX names it, or "". Raises ImportRefused: nothing that computes with numbers."""
        number = int(self.option("FusedActivationFunction"))
        if number not in range(len(ACTIVATIONS)) or ACTIVATIONS[number] == "SIGN_BIT":
            raise self.refused(f"its fused activation of number {number} is not known")
        return ACTIVATIONS[number]

    def activated(self, value: str) -> str:
        name = self.activation()
        if name in CLIPS:
            return self.clipped(value, *CLIPS[name])
        return self.emit(name, value) if name else value

    def clipped(self, value: str, low: float, high: float) -> str:
        bounds = (self.constant(wanted, np.array(bound, np.float32)) for wanted, bound in (("low", low), ("high", high)))
        return self.emit("Clip", value, *bounds)
