"""A graph of ONNX in the making: nodes, constants, inputs and outputs, collected one by one. Knows no layers and no networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, ValueInfoProto, helper

from cellserve.models.implementations.onnxruntime.graph import Model, Piece, model


class GraphBuilder:
    """Tensors go by name; whoever adds a node chooses the name of what it makes."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def add(self, operator: str, given: Sequence[str], made: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, list(given), [made], **attributes))

    def split(self, given: str, made: Sequence[str], sizes: Sequence[int], axis: int) -> None:
        lengths = self.constant(f"{given}/sizes", np.array(sizes, np.int64))
        self._nodes.append(helper.make_node("Split", [given, lengths], list(made), axis=axis))

    def piece(self, piece: Piece) -> None:
        self._nodes += piece.nodes
        self._constants |= piece.constants

    def constant(self, name: str, array: NDArray[Any] | np.float32) -> str:
        """The name."""
        self._constants[name] = np.asarray(array)
        return name

    def input(self, name: str, kind: int, *shape: str | int) -> None:
        """kind: of onnx.TensorProto."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def output(self, name: str, kind: int) -> None:
        """Of any shape. kind: of onnx.TensorProto."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, None))

    def makes(self, name: str) -> bool:
        return any(name in node.output for node in self._nodes)

    def rename(self, old: str, new: str) -> None:
        """The tensor that a node has made, there and wherever it is read so far."""
        for node in self._nodes:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new

    def model(self) -> Model:
        return model(Piece(tuple(self._nodes), self._constants), self._inputs, self._outputs)
