"""A softmax as programs write it out: powers of e, divided by their sum, perhaps with the largest number taken off before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Final

import numpy as np
from onnx import NodeProto

from cellserve.models.importers.onnx.file import attributes
from cellserve.models.importers.onnx.layers import arithmetic
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value

LEAST: Final[Mapping[str, float]] = {
    "Tanh": -1.0, "Softsign": -1.0, "Sigmoid": 0.0, "HardSigmoid": 0.0, "Relu": 0.0, "Softplus": 0.0, "Abs": 0.0,
}  # fmt: skip
"""The least number that these operators make, of which a sum of powers is never so small that an epsilon beside it counts."""
ROUNDING: Final = 1e-6  # of a sum: what an epsilon that is added to it may be


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """`read`: the scores; `reductions`: the nodes that go along its axis; `inner`: what all nodes but the last one make.

    `epsilon`: the constant that is added to the sum, and `least`: the least of the scores, if any.
    """

    read: str
    reductions: tuple[NodeProto, ...]
    epsilon: str | None
    least: float | None
    inner: frozenset[str]

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: over several axes, or with an epsilon that makes another function of it."""
        if not isinstance(flow, Flow) or flow.ids:
            raise NotTranslated("it is a softmax of something that the network does not compute")
        axes = {_axis(reduction, scope, len(flow.axes)) for reduction in self.reductions}
        if len(axes) != 1:
            raise NotTranslated("it divides powers of e by a sum over other axes than one")
        if self.epsilon is not None:
            added = scope.get(self.epsilon)
            epsilon = added.fill if isinstance(added, Known) else None
            if epsilon is None or self.least is None or not 0 <= epsilon <= ROUNDING * exp(self.least):
                raise NotTranslated("it adds to the sum of a softmax what is more than rounding")
        found = arithmetic.softmax(replace(node, operator="Softmax", attributes={"axis": axes.pop()}, given=[flow], opset=13))[0]
        if not isinstance(found, Flow):
            raise NotTranslated("it is a softmax of constants")
        return found


def softmaxes(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, WrittenOut]:
    """By what their divisions make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type not in ("Div", "Mul") or len(node.input) != 2 or (one := _matched(node, makers)) is None:
            continue
        ours = Counter(name for made in {makers[name].output[0] for name in one.inner} for name in makers[made].input)
        ours += Counter(node.input)
        if all(ours[name] == uses[name] for name in one.inner):
            found[node.output[0]] = one
    return found


def _matched(last: NodeProto, makers: Mapping[str, NodeProto]) -> WrittenOut | None:
    inner: list[str] = []

    def made_by(name: str, *operators: str) -> NodeProto | None:
        node = makers.get(name)
        return node if node is not None and node.op_type in operators and len(node.output) == 1 else None

    raised_name, below = last.input
    if last.op_type == "Mul":
        raised_name, below = (below, raised_name) if made_by(raised_name, "Reciprocal") else (raised_name, below)
        if (inverse := made_by(below, "Reciprocal")) is None:
            return None
        inner, below = [below], inverse.input[0]
    raised, total, epsilon = made_by(raised_name, "Exp"), made_by(below, "ReduceSum"), None
    if (added := made_by(below, "Add")) is not None:
        place = 0 if made_by(added.input[0], "ReduceSum") else 1
        inner, epsilon, total = [*inner, below], added.input[1 - place], made_by(added.input[place], "ReduceSum")
    if raised is None or total is None or total.input[0] != raised_name:
        return None
    inner += [raised_name, total.output[0]]
    scores, reductions, below_all = raised.input[0], [total], makers.get(raised.input[0])
    least = LEAST.get(below_all.op_type) if below_all is not None else None
    less = made_by(scores, "Sub")
    largest = None if less is None else made_by(less.input[1], "ReduceMax")
    if less is not None and largest is not None and largest.input[0] == less.input[0]:
        inner, scores, least = [*inner, scores, less.input[1]], less.input[0], 0.0
        reductions.append(largest)
    return WrittenOut(scores, tuple(reductions), epsilon, least, frozenset(inner))


def _axis(reduction: NodeProto, scope: Mapping[str, Value], rank: int) -> int:
    """Raises NotTranslated: more than one, or one that is not left with size 1."""
    said = attributes(reduction)
    if not said.get("keepdims", 1):
        raise NotTranslated("it divides powers of e by a sum of another shape")
    listed = said.get("axes")
    if listed is None and len(reduction.input) > 1:
        known = scope.get(reduction.input[1])
        constant = known.constant if isinstance(known, Known) else None
        listed = None if constant is None else [int(axis) for axis in np.ravel(constant)]
    if not listed or len(listed) != 1:
        raise NotTranslated("it divides powers of e by a sum over other axes than one")
    return int(listed[0]) % rank
