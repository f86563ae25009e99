"""ONNX's products with matrices as layers: MatMul, Einsum and Gemm. Knows no graphs."""

from __future__ import annotations

from dataclasses import replace
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
    """Of features with a matrix or a vector ("bti,io->bto", "bti,i->bt"), and of two tensors what MatMul is of them."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    read, _, made = equation.partition("->")
    parts = read.split(",")
    if len(parts) != 2 or len(node.given) != 2 or "." in equation or "->" not in equation:
        raise NotTranslated(f"its equation {equation!r} is no product with a matrix")
    if all(isinstance(one, Flow) for one in node.given):
        return [_of_two(node, equation, parts, made)]
    place = 0 if isinstance(node.given[0], Flow) else 1
    flow, matrix = node.features(place), node.constant(1 - place, "matrix")
    own, other = parts[place], parts[1 - place]
    old, new = own[-1:], made.removeprefix(own[:-1])
    fits = made == own[:-1] + new and len(new) < 2 and old != new and len(own) == len(flow.axes) == len(set(own))
    if not fits or sorted(other) != sorted(old + new) or len(other) != matrix.ndim:
        raise NotTranslated(f"its equation {equation!r} is no product with a matrix")
    kernel = matrix.reshape(-1, 1) if not new else matrix if other == old + new else matrix.T
    dense = _dense(node, flow, len(flow.axes) - 1, kernel, None)
    return [dense if new else dense.at(*dense.axes[:-1])]


def _of_two(node: Node, equation: str, parts: list[str], made: str) -> Flow:
    """As the product of [rows, own, summed] with [rows, summed, own], each of which letters may be missing but the summed one."""
    (left, right), flows = parts, [node.flow(place, weighing=True) for place in (0, 1)]
    summed = [letter for letter in left if letter in right and letter not in made]
    rows = [letter for letter in left if letter in right and letter in made]
    own = [[letter for letter in one if letter not in other] for one, other in ((left, right), (right, left))]
    plain = all(len(set(part)) == len(part) == len(flow.axes) for part, flow in zip(parts, flows)) and len(set(made)) == len(made)
    if not plain or len(summed) != 1 or max(map(len, own)) > 1 or set(made) != {*rows, *own[0], *own[1]}:
        raise NotTranslated(f"its equation {equation!r} is no product of two tensors here")
    turned = []
    for flow, part, letters in zip(flows, parts, ([*rows, own[0], summed], [*rows, summed, own[1]])):
        axes = dict(zip(part, flow.axes))
        turned.append(flow.at(*(axes[one[0]] if one else () for one in letters)))
    product = attention.product(replace(node, given=turned))
    letters = [*rows, *(one[0] if one else "" for one in own)]
    ends = dict(zip(letters, product.axes))
    return product.at(*(ends[letter] for letter in made))


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
