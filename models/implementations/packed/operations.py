"""A causal network as operations of the compiled kernel, in the order of its layers: tensors by number, weights by address.

What it cannot say (some layers around the recurrence) is refused in words; such networks go layer by layer. Knows no library.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import LastStepLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    MaskingLayer,
)
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.state_layout import SEEN, StateLayout
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.implementations.masked_steps import masks
from cellserve.models.implementations.own_arrays import own_arrays
from cellserve.models.implementations.packed.description import FUNCTIONS, Array, Function
from cellserve.models.spec import LayerSpec, ModelSpec

# In the order of OperationKind and MergeMode in native/description.h.
RECURRENT, DENSE, ACTIVATION, AFFINE, EMBEDDING, CONCATENATION, MERGE, LAST, STATE = range(9)
MERGES: Final = ("sum", "subtract", "multiply", "maximum", "minimum")
_KNOWN: Final = (
    *(RecurrentLayer, DenseLayer, ActivationLayer, BatchNormalizationLayer, DropoutLayer, EmbeddingLayer, MaskingLayer),
    *(MergeLayer, LastStepLayer),
)

_FLOATS = ctypes.POINTER(ctypes.c_float)


class TensorDescription(ctypes.Structure):
    _fields_: ClassVar = [("width", ctypes.c_int32), ("sequence", ctypes.c_int32)]


class OperationDescription(ctypes.Structure):
    _fields_: ClassVar = [
        *(
            (name, ctypes.c_int32)
            for name in ("kind", "over_time", "input", "second", "output", "mode", "h", "c", "seen", "count")
        ),
        ("function", Function),
        ("layer", ctypes.c_void_p),
        ("array", _FLOATS),
        ("bias", _FLOATS),
    ]


class ChunkDescription(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("operations", "tensors", "outputs", "state_width")),
        ("operation", ctypes.POINTER(OperationDescription)),
        ("tensor", ctypes.POINTER(TensorDescription)),
        ("output", ctypes.POINTER(ctypes.c_int32)),
    ]


class ChunkCallDescription(ctypes.Structure):
    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("rows", "ending")),
        ("steps", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("lengths", "inputs", "state", "ending_rows", "outputs")),
    ]


def obstacle(spec: ModelSpec, plan: CausalPlan) -> str | None:
    """None, or why this network cannot be one call. refusals.by_packed lets each of its recurrent layers through."""
    if plan.obstacle is not None:
        return plan.obstacle
    if any(entry.kind == "ids" and entry.name in spec.outputs for entry in spec.inputs):
        return "an output is ids"
    wide = next((name for name, shape in infer_shapes(spec).items() if len(shape.features) > 1), None)
    if wide is not None:
        return f"{wide!r} has several axes of features"
    return next((reason for layer in spec.layers if (reason := _layer_obstacle(spec, layer)) is not None), None)


def _layer_obstacle(spec: ModelSpec, layer: LayerSpec) -> str | None:
    if isinstance(layer, RecurrentLayer) and layer.mask_rule == "zero_or_empty" and masks(spec):
        return f"layer {layer.name!r} masks steps of its own inputs"
    if isinstance(layer, EmbeddingLayer | MaskingLayer) and layer.inputs[0] != spec.inputs[0].name:
        return f"layer {layer.name!r} reads another layer"
    if isinstance(layer, DenseLayer | ActivationLayer) and (function := layer.activation.name) not in FUNCTIONS:
        return f"layer {layer.name!r} has the activation {function}"
    return None if isinstance(layer, _KNOWN) else f"layer {layer.name!r} is a {layer.kind}"


class Operations:
    """Of a network without an obstacle. handles: what the library made of each recurrent layer, by its name.

    What the description points to lies in this object.
    """

    def __init__(
        self,
        spec: ModelSpec,
        plan: CausalPlan,
        shapes: Mapping[str, TensorShape],
        weights: Mapping[str, Array],
        handles: Mapping[str, int],
    ) -> None:
        self._spec, self._shapes, self._handles = spec, shapes, handles
        self._columns = {(one.layer_index, one.state): one.start for one in StateLayout.of(spec).columns}
        self._read = frozenset((*spec.outputs, *(reference for layer in spec.layers for reference in layer.inputs)))
        self._kept: list[NDArray[Any]] = []
        self._tensors = [TensorDescription(spec.inputs[0].width or 1, 1)]
        self._number = {spec.inputs[0].name: 0}
        self._made: list[OperationDescription] = []
        self._own = own_arrays(spec.layers, weights)
        for layer in (*plan.body, *plan.head):
            self._add(layer)
        self.operations = (OperationDescription * len(self._made))(*self._made)
        self._tensor_array = (TensorDescription * len(self._tensors))(*self._tensors)
        self._outputs = (ctypes.c_int32 * len(spec.outputs))(*(self._number[name] for name in spec.outputs))
        self.description = ChunkDescription(
            *(len(self._made), len(self._tensors), len(spec.outputs), StateLayout.of(spec).width),
            *(self.operations, self._tensor_array, self._outputs),
        )

    def _add(self, layer: LayerSpec) -> None:
        if isinstance(layer, RecurrentLayer):
            self._recurrent(layer)
        elif isinstance(layer, MaskingLayer) or (isinstance(layer, DropoutLayer) and layer.scale == 1):
            self._number[layer.name] = self._number[layer.inputs[0]]
        elif isinstance(layer, MergeLayer):
            self._merge(layer)
        else:
            _ADDED[type(layer)](self, layer)

    def _recurrent(self, layer: RecurrentLayer) -> None:
        index = self._spec.recurrent_layers.index(layer)
        columns = {name: self._columns[index, name] for name in (*layer.state_widths, SEEN)}
        made = self._tensor(layer.name) if layer.return_sequences and layer.name in self._read else 0
        h, c, seen = columns["h"], columns.get("c", 0), columns[SEEN]
        self._operation(RECURRENT, layer, made, h=h, c=c, seen=seen, layer=self._handles[layer.name])
        for name in layer.state_widths:
            reference = f"{layer.name}:{name}"
            if reference in self._read:
                self._operation(STATE, layer, self._tensor(reference), h=columns[name], over_time=0)
        if not layer.return_sequences:
            self._operation(STATE, layer, self._tensor(layer.name), h=h, over_time=0)

    def _merge(self, layer: MergeLayer) -> None:
        """Two at a time; an average is the sum over their number."""
        mode = "sum" if layer.mode == "average" else layer.mode
        so_far, shape = self._number[layer.inputs[0]], self._shapes[layer.name]
        width = self._tensors[so_far].width
        for place, reference in enumerate(layer.inputs[1:], start=2):
            second = self._number[reference]
            last = place == len(layer.inputs) and layer.mode != "average"
            width += self._tensors[second].width if mode == "concat" else 0
            made = self._tensor(layer.name) if last else self._unnamed(width, shape.sequence)
            kind = CONCATENATION if mode == "concat" else MERGE
            self._operation(kind, layer, made, input=so_far, second=second, mode=MERGES.index(mode) if kind == MERGE else 0)
            so_far = made
        if layer.mode == "average":
            share = np.full(width, 1 / len(layer.inputs))
            self._affine(layer, self._tensor(layer.name), share * 0, share, share * 0, input=so_far)

    def _affine(
        self, layer: Layer, made: int, less: NDArray[Any], times: NDArray[Any], more: NDArray[Any], **fields: int
    ) -> None:
        self._operation(AFFINE, layer, made, array=self._floats(np.stack([less, times, more])), count=3, **fields)

    def _operation(self, kind: int, spoken: Layer, made: int, **fields: Any) -> None:
        """spoken: the layer that it is of, or part of."""
        first = spoken.inputs[0]
        given = {"input": self._number[first], "over_time": int(self._shapes[first].sequence)} | fields
        self._made.append(OperationDescription(kind=kind, output=made, **given))

    def _tensor(self, reference: str) -> int:
        shape = self._shapes[reference]
        self._number[reference] = self._unnamed(shape.features[-1], shape.sequence)
        return self._number[reference]

    def _unnamed(self, width: int, sequence: bool) -> int:
        self._tensors.append(TensorDescription(width, int(sequence)))
        return len(self._tensors) - 1

    def _floats(self, array: NDArray[Any]) -> Any:
        self._kept.append(np.ascontiguousarray(array, np.float32))
        return self._kept[-1].ctypes.data_as(_FLOATS)

    def dense(self, layer: DenseLayer) -> None:
        own = self._own[layer.name]
        bias = {"bias": self._floats(own["bias"])} if layer.use_bias else {}
        function, kernel = Function.of(layer.activation), self._floats(own["kernel"])
        self._operation(DENSE, layer, self._tensor(layer.name), function=function, array=kernel, **bias)

    def activation(self, layer: ActivationLayer) -> None:
        self._operation(ACTIVATION, layer, self._tensor(layer.name), function=Function.of(layer.activation))

    def dropout(self, layer: DropoutLayer) -> None:
        ones = np.ones(self._shapes[layer.name].features[-1])
        self._affine(layer, self._tensor(layer.name), 0 * ones, layer.scale * ones, 0 * ones)

    def normalization(self, layer: BatchNormalizationLayer) -> None:
        own = self._own[layer.name]
        mean, variance = own["moving_mean"], own["moving_variance"]
        with np.errstate(invalid="ignore"):  # a variance below -epsilon has no root: NaN
            scale = own.get("gamma", np.float32(1)) / np.sqrt(variance + np.float32(layer.epsilon))
        self._affine(layer, self._tensor(layer.name), mean, scale, own.get("beta", np.zeros_like(mean)))

    def embedding(self, layer: EmbeddingLayer) -> None:
        table = self._own[layer.name]["table"]
        self._operation(EMBEDDING, layer, self._tensor(layer.name), array=self._floats(table), count=len(table))

    def last(self, layer: LastStepLayer) -> None:
        self._operation(LAST, layer, self._tensor(layer.name))


_ADDED: Final[Mapping[type[Layer], Callable[[Operations, Any], None]]] = {
    DenseLayer: Operations.dense,
    ActivationLayer: Operations.activation,
    DropoutLayer: Operations.dropout,
    BatchNormalizationLayer: Operations.normalization,
    EmbeddingLayer: Operations.embedding,
    LastStepLayer: Operations.last,
}
