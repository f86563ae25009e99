"""A layer normalization as exporters wrote it before there was an operator for it: nodes that end in a division.

(x - mean) / sqrt(mean of squares + epsilon), over the last axis; what gamma and beta do follows as a product and a sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import NodeProto, helper

from cellserve.models.description.layers.stepwise import LayerNormalizationLayer
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value


@dataclass(frozen=True, slots=True)
class Normalization:
    """`read`: the tensor that is normalized; `epsilon`: the one that is added; `means`: the two nodes; `inner`: what all make."""

    read: str
    epsilon: str
    means: tuple[NodeProto, ...]
    inner: frozenset[str]

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: over something else than the features."""
        epsilon = scope.get(self.epsilon)
        added = epsilon.fill if isinstance(epsilon, Known) else None
        if not isinstance(flow, Flow) or flow.ids or added is None:
            raise NotTranslated("it divides what the network computes by something else that it computes")
        last = len(flow.axes) - 1
        for mean in self.means:
            if [axis_number(axis, last + 1) for axis in _axes(mean, scope)] != [last]:
                raise NotTranslated("it normalizes over another axis than the last")
        flow = replace(node.draft.lined_up(flow, f"{node.name}_in", last), shared=True)
        return node.draft.then(flow, LayerNormalizationLayer, node.name, epsilon=added, scale=False, center=False)


def normalizations(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, Normalization]:
    """By what the divisions make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type == "Div" and len(node.input) == 2 and (one := _matched(node, makers)) is not None:
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
    mean = _made(makers, centred.input[1], "ReduceMean")
    for variance, epsilon in (added.input, reversed(added.input)):
        squares_mean = _made(makers, variance, "ReduceMean")
        squares = makers.get(squares_mean.input[0]) if squares_mean is not None else None
        if mean is None or squares_mean is None or squares is None or mean.input[0] != centred.input[0]:
            continue
        twice = squares.op_type == "Mul" and list(squares.input) == [centred.output[0]] * 2
        squared = squares.op_type == "Pow" and squares.input[0] == centred.output[0]
        if twice or squared:
            inner = (centred, root, added, mean, squares_mean, squares)
            made = frozenset(name for node in inner for name in node.output)
            return Normalization(centred.input[0], epsilon, (mean, squares_mean), made)
    return None


def _made(makers: Mapping[str, NodeProto], name: str, operator: str) -> NodeProto | None:
    node = makers.get(name)
    return node if node is not None and node.op_type == operator else None


def _axes(node: NodeProto, scope: Mapping[str, Value]) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == "axes":
            return [int(axis) for axis in helper.get_attribute_value(attribute)]
    value = scope.get(node.input[1]) if len(node.input) > 1 else None
    array = value.constant if isinstance(value, Known) else None
    return [] if array is None else [int(axis) for axis in np.ravel(array)]
