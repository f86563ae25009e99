"""A layer normalization as exporters wrote it before there was an operator for it: nodes that end in a division, or in a sum.

(x - mean) / sqrt(mean of squares + epsilon), over the last axis; what gamma and beta do follows as a product and a sum. Or, as
TensorFlow has it, x m + (beta - mean m) with m = gamma / sqrt(mean of squares + epsilon).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from cellserve.models.description.layers.stepwise import LayerNormalizationLayer
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Normalization:
    """`read`: the tensor that is normalized; `epsilon`: the one that is added; `means`: the two nodes; `inner`: what all make.

    `gamma`, `beta`: tensors, None where these are not among the nodes.
    """

    read: str
    epsilon: str
    means: tuple[NodeProto, ...]
    inner: frozenset[str]
    gamma: str | None = None
    beta: str | None = None

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: over something else than the features."""
        epsilon = scope.get(self.epsilon)
        added = epsilon.fill if isinstance(epsilon, Known) else None
        if not isinstance(flow, Flow) or flow.ids or added is None:
            raise NotTranslated("it divides what the network computes by something else that it computes")
        last = len(flow.axes) - 1
        for mean in self.means:
            axes = list(range(2, last + 1)) if mean.op_type == "GlobalAveragePool" else axes_of(mean, scope)
            if [axis_number(axis, last + 1) for axis in axes] != [last]:
                raise NotTranslated("it normalizes over another axis than the last")
        flow = replace(node.draft.lined_up(flow, f"{node.name}_in", last), shared=True)
        said = {"gamma": self.gamma, "beta": self.beta}
        arrays = {name: _per_feature(scope.get(tensor), flow.width) for name, tensor in said.items() if tensor is not None}
        options = {"scale": "gamma" in arrays, "center": "beta" in arrays}
        return node.draft.then(flow, LayerNormalizationLayer, node.name, arrays, epsilon=added, **options)


def normalizations(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, Normalization]:
    """By what the divisions make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        one = MATCHES[node.op_type](node, makers) if node.op_type in MATCHES and len(node.input) == 2 else None
        if one is not None:
            ours = Counter(name for made in one.inner for name in makers[made].input) + Counter(node.input)
            if all(ours[name] == uses[name] for name in one.inner):
                found[node.output[0]] = one
    return found


def _matched(division: NodeProto, makers: Mapping[str, NodeProto]) -> Normalization | None:
    centred = _made(makers, division.input[0], "Sub")
    root = _made(makers, division.input[1], "Sqrt")
    added = _made(makers, root.input[0], "Add") if root is not None else None
    if centred is None or root is None or added is None:
        return None
    mean = _made(makers, centred.input[1], *MEANS)
    for variance, epsilon in (added.input, reversed(added.input)):
        squares_mean = _made(makers, variance, *MEANS)
        squares = makers.get(squares_mean.input[0]) if squares_mean is not None else None
        if mean is None or squares_mean is None or squares is None or mean.input[0] != centred.input[0]:
            continue
        if _squares(squares, centred):
            inner = (centred, root, added, mean, squares_mean, squares)
            made = frozenset(name for node in inner for name in node.output)
            return Normalization(centred.input[0], epsilon, (mean, squares_mean), made)
    return None


def _squares(node: NodeProto, of: NodeProto) -> bool:
    twice = node.op_type == "Mul" and list(node.input) == [of.output[0]] * 2
    return twice or (node.op_type == "Pow" and node.input[0] == of.output[0])


def _matched_sum(last: NodeProto, makers: Mapping[str, NodeProto]) -> Normalization | None:
    """x m + (beta - mean m)."""
    for scaled_name, shift_name in (last.input, reversed(last.input)):
        scaled, shift = _made(makers, scaled_name, "Mul"), _made(makers, shift_name, "Add", "Sub", "Mul")
        for x, factor in (scaled.input, reversed(scaled.input)) if scaled is not None and shift is not None else ():
            if scaled is not None and shift is not None and (found := _of_sum(x, factor, scaled, shift, makers)) is not None:
                return found
    return None


def _of_sum(x: str, factor: str, scaled: NodeProto, shift: NodeProto, makers: Mapping[str, NodeProto]) -> Normalization | None:
    product, gamma, one_over = _made(makers, factor, "Mul"), None, factor
    for inverse, other in (product.input, reversed(product.input)) if product is not None else ():
        if _made(makers, inverse, "Reciprocal") is not None:
            gamma, one_over = other, inverse
    reciprocal = _made(makers, one_over, "Reciprocal")
    root = _made(makers, reciprocal.input[0], "Sqrt") if reciprocal is not None else None
    added = _made(makers, root.input[0], "Add") if root is not None else None
    moves = ((shift.output[0], None),) if shift.op_type == "Mul" else (shift.input, reversed(shift.input))
    for moved_name, beta in moves:  # without beta, -mean m is added as it is
        moved = _made(makers, moved_name, "Mul")
        rest = [name for name in moved.input if name != factor] if moved is not None else []
        turned = _made(makers, rest[0], "Neg") if len(rest) == 1 and shift.op_type != "Sub" else None
        mean = _made(makers, turned.input[0] if turned is not None else "".join(rest[:1]), *MEANS)
        signed = turned is not None or (shift.op_type == "Sub" and moved_name == shift.input[1])
        if (
            moved is None
            or mean is None
            or added is None
            or reciprocal is None
            or root is None
            or not signed
            or mean.input[0] != x
        ):
            continue
        for variance, epsilon in (added.input, reversed(added.input)):
            squares_mean = _made(makers, variance, *MEANS)
            squares = makers.get(squares_mean.input[0]) if squares_mean is not None else None
            centred = _made(makers, squares.input[0], "Sub") if squares is not None else None
            if squares is None or squares_mean is None or centred is None or list(centred.input) != [x, mean.output[0]]:
                continue
            if _squares(squares, centred):
                nodes = (scaled, shift, product, reciprocal, root, added, moved, turned, mean, squares_mean, squares, centred)
                inner = frozenset(name for node in nodes if node is not None for name in node.output)
                return Normalization(x, epsilon, (mean, squares_mean), inner, gamma, beta)
    return None


def _per_feature(value: Value | None, width: int) -> Array:
    array = value.constant if isinstance(value, Known) else None
    if array is None or array.size != width:
        raise NotTranslated("its gamma or its beta is not one number for each feature")
    return np.ravel(array)


def _made(makers: Mapping[str, NodeProto], name: str, *operators: str) -> NodeProto | None:
    node = makers.get(name)
    return node if node is not None and node.op_type in operators else None


def axes_of(node: NodeProto, scope: Mapping[str, Value]) -> list[int]:
    """Of a reduction, an attribute or an input; none where these are not known."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return [int(axis) for axis in helper.get_attribute_value(attribute)]
    value = scope.get(node.input[1]) if len(node.input) > 1 else None
    array = value.constant if isinstance(value, Known) else None
    return [] if array is None else [int(axis) for axis in np.ravel(array)]


MEANS: Final = ("ReduceMean", "GlobalAveragePool")
MATCHES: Final = {"Div": _matched, "Add": _matched_sum}
