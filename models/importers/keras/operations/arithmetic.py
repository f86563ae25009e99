"""Functions, sums and products, joins and reductions of `keras.ops`, as layers. Source: keras/src/ops 3.x. Knows no slices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import GlobalPooling1dLayer
from cellserve.models.description.layers.stepwise import ActivationLayer
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers.affine import affine
from cellserve.models.importers.keras.layers.axes import permuted, reshaped
from cellserve.models.importers.keras.operations.arguments import (
    Operation,
    Tensors,
    both,
    constant_of,
    only,
    require_last,
    unmasked,
)


def _function(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    source, (name, alpha) = only(graph, keras, call, tensors), FUNCTIONS[keras.class_name]
    given = None if alpha is None else keras.config.get(alpha[0], keras.config.get("alpha", alpha[1]))
    if keras.class_name == "Gelu" and keras.config.get("approximate", True):
        name = "gelu_tanh"
    if name in ("softmax", "log_softmax"):
        require_last(graph, keras, source)
    activation = Activation.model_validate({"name": name, "alpha": given})
    layer = ActivationLayer(name=keras.spec_name, inputs=(source.reference,), activation=activation)
    return graph.add(layer, sequence=source.sequence)


def _binary(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, mode: str) -> Tensor:
    one, other = both(graph, keras, call)
    if isinstance(one, TensorKey) and isinstance(other, TensorKey):
        inputs = [unmasked(graph, keras, tensors[key]) for key in (one, other)]
        if mode == "divide":
            graph.refuse(keras, "it divides one tensor by another, which is not supported")
        layer = MergeLayer.model_validate(
            {"name": keras.spec_name, "inputs": [tensor.reference for tensor in inputs], "mode": mode}
        )
        return graph.add(layer, sequence=inputs[0].sequence)
    key, constant, turned = (one, other, False) if isinstance(one, TensorKey) else (other, one, True)
    source, number = unmasked(graph, keras, tensors[key]), constant_of(graph, keras, constant)
    if mode == "divide" and turned:
        graph.refuse(keras, "it divides a number by a tensor, which is not supported")
    if mode in ("maximum", "minimum"):
        if mode == "minimum" or np.any(number != 0):
            graph.refuse(keras, f"the {mode} of a tensor and a number is not supported, but for max(x, 0)")
        relu = ActivationLayer(name=keras.spec_name, inputs=(source.reference,), activation=Activation(name="relu"))
        return graph.add(relu, sequence=source.sequence)
    if mode in ("multiply", "divide"):
        return affine(graph, keras, source, scale=number if mode == "multiply" else 1 / number, shift=np.zeros(1))
    sign = -1.0 if mode == "subtract" and turned else 1.0
    shift = -number if mode == "subtract" and not turned else number
    return affine(graph, keras, source, scale=np.full(1, sign), shift=shift)


def _negative(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    return affine(graph, keras, only(graph, keras, call, tensors), scale=np.full(1, -1.0), shift=np.zeros(1))


def _square(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    source = only(graph, keras, call, tensors)
    layer = MergeLayer(name=keras.spec_name, inputs=(source.reference,) * 2, mode="multiply")
    return graph.add(layer, sequence=source.sequence)


def _concatenate(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    inputs = [unmasked(graph, keras, tensors[key]) for key in call.inputs]
    require_last(graph, keras, inputs[0])
    layer = MergeLayer(name=keras.spec_name, inputs=tuple(one.reference for one in inputs), mode="concat")
    return graph.add(layer, sequence=inputs[0].sequence)


def _over_time(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, mode: Any) -> Tensor:
    source = only(graph, keras, call, tensors)
    axis = keras.config.get("axis")
    axes = axis if isinstance(axis, list | tuple) else [axis]
    if not source.sequence or list(axes) != [1] or keras.config.get("keepdims"):
        graph.refuse(keras, f"{keras.class_name} is supported over the time axis alone (axis=1), without keepdims", "axis")
    return graph.add(GlobalPooling1dLayer(name=keras.spec_name, inputs=(source.reference,), mode=mode), sequence=False)


def _reshape(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    target = keras.config.get("newshape", keras.config.get("new_shape"))
    if not isinstance(target, list | tuple) or not all(axis is None or isinstance(axis, int) for axis in target):
        graph.refuse(keras, "the shape that it makes is not written down")
    return reshaped(graph, keras, only(graph, keras, call, tensors), tuple(target[1:]))


def _transpose(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    axes = keras.config.get("axes")
    if not isinstance(axes, list | tuple) or not axes or axes[0] != 0:
        graph.refuse(keras, "a transposition that moves the batch is not supported", "axes")
    return permuted(graph, keras, only(graph, keras, call, tensors), tuple(axes[1:]))


FUNCTIONS: Final[Mapping[str, tuple[str, tuple[str, float] | None]]] = {
    "Tanh": ("tanh", None),
    "Sigmoid": ("sigmoid", None),
    "Relu": ("relu", None),
    "Relu6": ("relu6", None),
    "Elu": ("elu", ("alpha", 1.0)),
    "Selu": ("selu", None),
    "Celu": ("celu", ("alpha", 1.0)),
    "LeakyRelu": ("leaky_relu", ("negative_slope", 0.2)),
    "Gelu": ("gelu", None),
    "Silu": ("silu", None),
    "Softplus": ("softplus", None),
    "Softsign": ("softsign", None),
    "HardSigmoid": ("hard_sigmoid_relu6", None),
    "HardSilu": ("hard_silu", None),
    "HardTanh": ("hard_tanh", None),
    "LogSigmoid": ("log_sigmoid", None),
    "TanhShrink": ("tanh_shrink", None),
    "Exp": ("exponential", None),
    "Softmax": ("softmax", None),
    "LogSoftmax": ("log_softmax", None),
}
BINARY: Final[Mapping[str, str]] = {
    "Add": "sum",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Divide": "divide",
    "TrueDivide": "divide",
    "Maximum": "maximum",
    "Minimum": "minimum",
}
ARITHMETIC: Final[Mapping[str, Operation]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    **{name: partial(_binary, mode=mode) for name, mode in BINARY.items()},
    "Negative": _negative,
    "Square": _square,
    "Concatenate": _concatenate,
    "Mean": partial(_over_time, mode="average"),
    "Max": partial(_over_time, mode="max"),
    "Sum": partial(_over_time, mode="sum"),
    "Reshape": _reshape,
    "Transpose": _transpose,
}
