"""ONNX's products with matrices as layers: MatMul, Einsum and Gemm. Knows no graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.importers.onnx.layers import attention
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Flow, NotTranslated, Part, Value

Array = npt.NDArray[Any]


def matmul(node: Node) -> list[Value]:
    """Of features with a matrix, from either side."""
    left, right = node.input(0), node.input(1)
    if isinstance(left, Flow) and isinstance(right, Flow):
        return [attention.product(node)]
    if isinstance(right, Flow):
        kernel = _matrix(node.constant(0, "matrix")).T
        return [_dense(node, node.features(1), len(right.axes) - 2, kernel, None)]
    flow, array = node.features(0), node.constant(1, "matrix")
    if array.ndim == 1:
        made = _dense(node, flow, len(flow.axes) - 1, array.reshape(-1, 1), None)
        return [made.at(*made.axes[:-1])]
    return [_dense(node, flow, len(flow.axes) - 1, _matrix(array), None)]


def einsum(node: Node) -> list[Value]:
    """Of features with a matrix: "bti,io->bto" and the like."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    read, _, made = equation.partition("->")
    parts = read.split(",")
    if len(parts) != 2 or len(node.given) != 2 or isinstance(node.given[0], Flow) == isinstance(node.given[1], Flow):
        raise NotTranslated(f"its equation {equation!r} is no product with a matrix")
    place = 0 if isinstance(node.given[0], Flow) else 1
    flow, matrix = node.features(place), node.constant(1 - place, "matrix")
    own, other = parts[place], parts[1 - place]
    old, new = own[-1:], made[-1:]
    if (
        sorted(other) != sorted(old + new)
        or made != own[:-1] + new
        or old == new
        or len(own) != len(flow.axes)
        or "." in equation
    ):
        raise NotTranslated(f"its equation {equation!r} is no product with a matrix")
    return [_dense(node, flow, len(flow.axes) - 1, matrix if other == old + new else matrix.T, None)]


def gemm(node: Node) -> list[Value]:
    if node.attributes.get("transA"):
        raise NotTranslated("it turns its input round (transA)")
    flow, kernel = node.features(0), node.constant(1, "matrix")
    if len(flow.axes) != 2:
        raise NotTranslated("it reads something else than rows of features")
    kernel = (kernel.T if node.attributes.get("transB") else kernel) * np.float32(node.attributes.get("alpha", 1.0))
    bias, beta = node.input(2), np.float32(node.attributes.get("beta", 1.0))
    if bias is None or not beta:
        return [_dense(node, flow, 1, kernel, None)]
    array = node.constant(2, "bias")
    if array.size not in (1, kernel.shape[-1]) or array.shape[:-1] not in ((), (1,)):
        raise NotTranslated(f"its bias is {list(array.shape)}")
    return [_dense(node, flow, 1, kernel, np.broadcast_to(np.ravel(array) * beta, kernel.shape[-1:]))]


def _matrix(array: Array) -> Array:
    if array.ndim < 2 or any(size != 1 for size in array.shape[:-2]):
        raise NotTranslated(f"it multiplies with an array of {list(array.shape)}, which is no matrix")
    return array.reshape(array.shape[-2:])


def _dense(node: Node, flow: Flow, axis: int, kernel: Array, bias: Array | None) -> Flow:
    flow = node.draft.lined_up(flow, f"{node.name}_in", axis)
    if len(kernel) != flow.width:
        raise NotTranslated(f"its matrix is {list(kernel.shape)}, for {flow.width} features")
    units = kernel.shape[1]
    arrays = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    source = node.draft.reference(flow, f"{node.name}_in")
    made = node.draft.add(DenseLayer, node.name, [source], arrays, units=units, use_bias=bias is not None)
    return node.draft.widened(flow, axis, (Part(made, units),))
