"""Vectors over their Euclidean length, as exporters write it: a division by ReduceL2, which may be bounded from below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import NodeProto

from cellserve.models.description.layers.stepwise import UnitNormalizationLayer
from cellserve.models.importers.onnx.layers.normalization import axes_of
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value

BOUNDING: Final = ("Clip", "Max")
UNBOUNDED: Final = 1e-12
ZEROS: Final = "{} divides by a vector's length: of one that is all zeros it answers NaN, and zeros are served."


@dataclass(frozen=True, slots=True)
class UnitLength:
    """`read`: the tensor x; `length`: the node ReduceL2; `bound`: the tensor below which no length goes.

    `inner`: what all nodes but the division make.
    """

    read: str
    length: NodeProto
    bound: str | None
    inner: frozenset[str]

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: over something else than the features."""
        if not isinstance(flow, Flow) or flow.ids:
            raise NotTranslated("it is the length of something that the network does not compute")
        last = len(flow.axes) - 1
        if [axis_number(axis, last + 1) for axis in axes_of(self.length, scope)] != [last]:
            raise NotTranslated("it takes lengths over another axis than the last")
        bound = UNBOUNDED
        if self.bound is None:
            node.draft.remarks.append(ZEROS.format(node.name))
        else:
            value = scope.get(self.bound)
            array = value.constant if isinstance(value, Known) else None
            if array is None or array.size != 1 or not (bound := float(np.ravel(array)[0])) > 0:
                raise NotTranslated("it bounds lengths by something that is no positive number")
        lined_up = node.draft.lined_up(flow, f"{node.name}_in", last)
        return node.draft.then(lined_up, UnitNormalizationLayer, node.name, epsilon=bound)


def unit_lengths(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, UnitLength]:
    """By what the divisions make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type == "Div" and len(node.input) == 2 and (one := _matched(node, makers)) is not None:
            ours = Counter(name for made in one.inner for name in makers[made].input) + Counter(node.input)
            if all(ours[name] == uses[name] for name in one.inner):
                found[node.output[0]] = one
    return found


def _matched(division: NodeProto, makers: Mapping[str, NodeProto]) -> UnitLength | None:
    x, divisor = division.input
    inner, bound = list[str](), None
    node = makers.get(divisor)
    while node is not None and node.op_type in ("Expand", *BOUNDING):
        if node.op_type in BOUNDING:
            if bound is not None or len(node.input) < 2 or any(node.input[2:]):
                return None
            bound = node.input[1]
        inner.append(node.output[0])
        node = makers.get(node.input[0])
    if node is None or node.op_type != "ReduceL2" or node.input[0] != x:
        return None
    if any(attribute.name == "keepdims" and attribute.i == 0 for attribute in node.attribute):
        return None
    return UnitLength(x, node, bound, frozenset([*inner, node.output[0]]))
