"""A part of a graph as a model of its own: the nodes between what the network computes and one tensor. Knows no runtime.

What goes in is as layers have it, rows, then steps, then features; the part lays it out as its nodes read it, and what it makes
as layers have it again.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cellserve.models.importers.onnx.folding import NEWEST_OPSET
from cellserve.models.importers.onnx.values import Atom, Flow, NotTranslated

Array = npt.NDArray[Any]
IR_VERSION: Final = 8
KEPT_NUMBERS: Final = 64  # so many of a constant stay in the graph, more are arrays of the version
OUTPUT: Final = "y"
OURS: Final = re.compile(r"[xc]\d+(_batch|_time)?|y|laid::\d+|own::.*")
"""What tensors that a part adds to those of its graph are called: inputs, arrays, the output and what lies between."""

AXES_ARE_INPUTS: Final = 13  # the operator set since which Squeeze and Unsqueeze are told their axes by an input


@dataclass(frozen=True, slots=True)
class Part:
    """`reads`: by tensor of the graph, what the network makes of it; `makes`: the tensor. `constants`: by tensor."""

    nodes: tuple[NodeProto, ...]
    reads: Mapping[str, Flow]
    makes: str
    constants: Mapping[str, Array]
    opset: int

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node.op_type for node in self.nodes))

    def model(self, layout: Layout | None) -> tuple[bytes, dict[str, Array]]:
        """(the model, its arrays). Without a layout, y is as the nodes make it.

        Raises NotTranslated: what goes in cannot be laid out as the nodes read it.
        """
        taken = {*self.reads, *self.constants, *(name for node in self.nodes for name in (*node.input, *node.output))}
        made = _Writing(min(self.opset, NEWEST_OPSET), {name: f"own::{name}" for name in taken if OURS.fullmatch(name)})
        for place, (name, flow) in enumerate(self.reads.items()):
            made.laid_out(f"x{place}", flow, name)
        for name, array in self.constants.items():
            made.constant(name, array)
        made.graph_nodes(self.nodes)
        if layout is None:
            made.node("Identity", [made.own(self.makes)], OUTPUT)
        else:
            made.layers_own(self.makes, layout)
        return made.content(), made.arrays


@dataclass(frozen=True, slots=True)
class Layout:
    """What the axes of a tensor are: "batch", "time", or a number of features."""

    axes: tuple[str | int, ...]

    @property
    def sequence(self) -> bool:
        return "time" in self.axes

    @property
    def features(self) -> tuple[int, ...]:
        return tuple(axis for axis in self.axes if isinstance(axis, int))

    @property
    def width(self) -> int:
        return prod(self.features)


class _Writing:
    """`renamed`: tensors of the graph that are called as something of the part is."""

    def __init__(self, opset: int, renamed: Mapping[str, str]) -> None:
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.arrays: dict[str, Array] = {}
        self._renamed = dict(renamed)
        self._kept: list[TensorProto] = []
        self._inputs: list[Any] = []
        self._count = 0

    def node(self, operator: str, inputs: Sequence[str], made: str | None = None, **attributes: Any) -> str:
        self._count += 1
        name = made or f"laid::{self._count}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def own(self, name: str) -> str:
        """Of a tensor of the graph, as it is called in the part."""
        return self._renamed.get(name, name)

    def graph_nodes(self, nodes: Sequence[NodeProto]) -> None:
        for node in nodes:
            copied = NodeProto()
            copied.CopyFrom(node)
            copied.ClearField("doc_string")
            copied.input[:] = [self.own(name) for name in node.input]
            copied.output[:] = [self.own(name) for name in node.output]
            self.nodes.append(copied)

    def constant(self, name: str, array: Array) -> None:
        array = array.astype(np.float32) if array.dtype in (np.float64, np.float16) else array
        if array.dtype != np.float32 or array.size <= KEPT_NUMBERS or not np.isfinite(array).all():
            self._kept.append(numpy_helper.from_array(np.array(array, order="C"), self.own(name)))
            return
        self._renamed[name] = f"c{len(self.arrays)}"
        self.arrays[self._renamed[name]] = array

    def laid_out(self, given: str, flow: Flow, name: str) -> None:
        """What a layer reads as the tensor `name`."""
        atoms = [atom for axis in flow.axes for atom in axis]
        lead = [role for role in ("batch", "time") if role == "batch" or flow.sequence]
        kind = TensorProto.INT64 if flow.ids else TensorProto.FLOAT
        width = [] if flow.ids else [flow.width]
        self._inputs.append(helper.make_tensor_value_info(given, kind, [*(f"{given}_{role}" for role in lead), *width]))
        own = [atom.sizes[0] for atom in flow.features]
        if flow.ids:
            given = self._as_declared(given, flow)
        at = given if flow.ids or own == width else self._reshape(given, [*(0 for _ in lead), *own])
        present: list[str | Atom] = [*lead, *flow.features]
        roles: list[str | Atom] = [atom if atom.role == "feature" else atom.role for atom in atoms]
        if "batch" not in roles:
            at, present = self._without_rows(at), present[1:]
        if len(roles) != len(set(roles)) or set(roles) != set(present):
            raise NotTranslated("what it reads has its rows or steps in several places")
        order = [present.index(role) for role in roles]
        if order != list(range(len(order))):
            at = self.node("Transpose", [at], perm=order)
        if any(len(axis) > 1 for axis in flow.axes):
            at = self._reshape(at, _merged([axis for axis in flow.axes if axis]))
        if empty := [place for place, axis in enumerate(flow.axes) if not axis]:
            at = self._with_axes(at, empty)
        self.node("Identity", [at], self.own(name))

    def layers_own(self, made: str, layout: Layout) -> None:
        """The tensor as a layer's output y."""
        lead = [role for role in ("batch", "time") if role in layout.axes]
        order = [layout.axes.index(role) for role in lead]
        order += [place for place, axis in enumerate(layout.axes) if isinstance(axis, int)]
        made = self.own(made)
        at = made if order == list(range(len(order))) else self.node("Transpose", [made], perm=order)
        if "batch" not in lead:
            at, lead = self._with_axes(at, [0]), ["batch", *lead]
        self._reshape(at, [*(0 for _ in lead), layout.width], OUTPUT)

    def content(self) -> bytes:
        outside = []
        for name, array in self.arrays.items():
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL)
            tensor.external_data.add(key="location", value="weights")
            outside.append(tensor)
        graph = helper.make_graph(
            self.nodes, "part", self._inputs, [helper.make_empty_tensor_value_info(OUTPUT)], [*self._kept, *outside]
        )
        opset = helper.make_opsetid("", self.opset)
        model: ModelProto = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        return bytes(model.SerializeToString(deterministic=True))

    def _as_declared(self, given: str, flow: Flow) -> str:
        kind = np.asarray(flow.of(np.zeros(1, np.int64))).dtype if flow.of is not None else np.dtype(np.int64)
        return given if kind == np.int64 else self.node("Cast", [given], to=helper.np_dtype_to_tensor_dtype(kind))

    def _reshape(self, given: str, shape: Sequence[int], made: str | None = None) -> str:
        return self.node("Reshape", [given, self._whole(shape)], made)

    def _whole(self, numbers: Sequence[int]) -> str:
        self._count += 1
        name = f"laid::{self._count}"
        self._kept.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def _without_rows(self, given: str) -> str:
        if self.opset < AXES_ARE_INPUTS:
            return self.node("Squeeze", [given], axes=[0])
        return self.node("Squeeze", [given, self._whole([0])])

    def _with_axes(self, given: str, places: Sequence[int]) -> str:
        if self.opset < AXES_ARE_INPUTS:
            return self.node("Unsqueeze", [given], axes=list(places))
        return self.node("Unsqueeze", [given, self._whole(places)])


def _merged(axes: Sequence[Sequence[Atom]]) -> list[int]:
    """The shape that folds the atoms of each axis into one. Raises NotTranslated: several of them are rows or steps."""
    shape: list[int] = []
    for place, axis in enumerate(axes):
        if all(atom.role == "feature" for atom in axis):
            shape.append(prod(atom.sizes[0] for atom in axis))
        elif len(axis) == 1 and all(len(before) == 1 for before in axes[:place]):
            shape.append(0)
        else:
            shape.append(-1)
    if shape.count(-1) > 1:
        raise NotTranslated("what it reads has rows or steps folded into several axes")
    return shape


def as_text(content: bytes) -> str:
    return b64encode(content).decode()
