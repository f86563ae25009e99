"""ONNX files as tests write them: nodes one by one, in the forms of any operator set, and onnxruntime called by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class OnnxGraph:
    """Each method adds a node and returns the name of what it makes."""

    def __init__(self, opset: int = 17, prefix: str = "t") -> None:
        self.opset = opset
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"

    def add(self, operator: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        made = [self.name() for _ in range(outputs)]
        self.nodes.append(
            helper.make_node(operator, list(inputs), made, name=f"{operator}_{self.count}", domain=domain, **attributes)
        )
        return made[0] if outputs == 1 else made

    def constant(self, array: Array, form: str = "initializer") -> str:
        """form: initializer, node, pieces (joined by Concat), turned (by Transpose) or unsqueezed."""
        if form == "node":
            return str(self.add("Constant", [], value=numpy_helper.from_array(np.array(array, order="C"))))
        if form == "pieces" and array.ndim and array.shape[-1] > 1:
            halves = [self.constant(half) for half in np.array_split(array, 2, axis=-1)]
            return str(self.add("Concat", halves, axis=array.ndim - 1))
        if form == "turned" and array.ndim > 1:
            return str(self.add("Transpose", [self.constant(array.T)], perm=list(range(array.ndim))[::-1]))
        if form == "unsqueezed" and array.ndim and array.shape[0] == 1:
            return self.unsqueeze(self.constant(array[0]), [0])
        name = self.name()
        self.constants[name] = np.array(array, order="C")
        return name

    def squeeze(self, x: str, axes: list[int]) -> str:
        if self.opset < 13:
            return str(self.add("Squeeze", [x], axes=axes))
        return str(self.add("Squeeze", [x, self.constant(np.array(axes, np.int64))]))

    def unsqueeze(self, x: str, axes: list[int]) -> str:
        if self.opset < 13:
            return str(self.add("Unsqueeze", [x], axes=axes))
        return str(self.add("Unsqueeze", [x, self.constant(np.array(axes, np.int64))]))

    def reshape(self, x: str, shape: list[int]) -> str:
        return str(self.add("Reshape", [x, self.constant(np.array(shape, np.int64))]))

    def model(
        self,
        inputs: Mapping[str, tuple[int, Sequence[int | str | None]]],
        outputs: Sequence[str],
        ir_version: int = 8,
        **options: Any,
    ) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        for entry in graph.output:
            entry.type.tensor_type.elem_type = TensorProto.FLOAT
        model: ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir_version, **options
        )
        return model


def saved(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def asked(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """By onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(None, dict(feeds))]
