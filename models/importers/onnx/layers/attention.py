"""Attention over the steps of a row, as exporters write it: a softmax over time, products with it, and sums. Knows no graphs.

Each step has a score; what is added up are the steps, each times its share of the softmax. That is one layer, which keeps running
totals; a softmax over time that is anything else than such a weight is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import AttentionPooling1dLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.importers.onnx.layers import repeating
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Axis, Flow, NotTranslated, Part

WITH_ITSELF = "it multiplies what the network computes with itself, as attention between steps does"


def weighted(node: Node) -> Flow:
    """A sequence times the shares of its steps, to be added up."""
    flows = [node.flow(place, weighing=True) for place in range(len(node.given))]
    scores, steps = flows if flows[0].shares else flows[::-1]
    if node.operator != "Mul" or len(flows) != 2 or steps.shares or steps.weights is not None or scores.width != 1:
        raise NotTranslated("it computes with a softmax over time otherwise than to weigh the steps of a row and add them up")
    axis = steps.axis_of("time")
    behind = None if axis is None else len(steps.axes) - axis
    if behind is None or len(scores.axes) < behind or not _alike(scores.axes[-behind], steps.axes[-behind]):
        raise NotTranslated("it weighs steps by the softmax of another sequence's scores")
    return replace(steps, weights=scores, shared=False)


def pooled(node: Node, flow: Flow) -> Flow:
    """The sum over time of what is weighted; the axis of time is left, of size 1."""
    scores, axis = flow.weights, flow.axis_of("time")
    if scores is None:
        raise NotTranslated("nothing weighs it")
    made = _pooling(node, scores, replace(flow, weights=None))
    return Flow((made,), tuple(() if place == axis else one for place, one in enumerate(flow.axes)), flow.ordered)


def product(node: Node) -> Flow:
    """MatMul of two tensors of the network: shares of steps with the steps, or the steps with a vector."""
    left, right = (node.flow(place, weighing=True) for place in (0, 1))
    if min(len(left.axes), len(right.axes)) < 2 or len(left.axes) != len(right.axes):
        raise NotTranslated(WITH_ITSELF)
    if not all(_alike(one, other) for one, other in zip(left.axes[:-2], right.axes[:-2])):
        raise NotTranslated(WITH_ITSELF)
    if left.shares or right.shares:
        return _shared_out(node, left, right)
    return _asked(node, left, right)


def _shared_out(node: Node, left: Flow, right: Flow) -> Flow:
    """[heads, time] x [time, features], or [features, time] x [time, heads]."""
    scores, steps = (left, right) if left.shares else (right, left)
    heads, features = (left.axes[-2], right.axes[-1]) if left.shares else (right.axes[-1], left.axes[-2])
    plain = not steps.shares and steps.weights is None and scores.weights is None
    if not plain or not _is_time(left.axes[-1]) or not _alike(left.axes[-1], right.axes[-2]):
        raise NotTranslated(WITH_ITSELF)
    if heads != scores.ordered or features != steps.ordered:
        raise NotTranslated(WITH_ITSELF)
    made = _pooling(node, scores, steps)
    ends = (heads, features) if left.shares else (features, heads)
    return Flow((made,), (*left.axes[:-2], *ends), (*heads, *features))


def _pooling(node: Node, scores: Flow, steps: Flow) -> Part:
    draft = node.draft
    steps, scores = draft.lined_up(steps, f"{node.name}_in"), draft.lined_up(scores, f"{node.name}_scores")
    joined = draft.add(
        MergeLayer,
        f"{node.name}_scored",
        [draft.reference(steps, f"{node.name}_in"), draft.reference(scores, f"{node.name}_scores")],
        mode="concat",
    )
    made = draft.add(AttentionPooling1dLayer, node.name, [joined], heads=scores.width)
    return Part(made, scores.width * steps.width)


def _asked(node: Node, left: Flow, right: Flow) -> Flow:
    """[time, features] x [features, 1], or [1, features] x [features, time]: how alike each step is to a vector."""
    turned = right.sequence
    steps, vector = (right, left) if turned else (left, right)
    time, features = (right.axes[-1], right.axes[-2]) if turned else (left.axes[-2], left.axes[-1])
    own, rest = (left.axes[-1], left.axes[-2]) if turned else (right.axes[-2], right.axes[-1])
    fits = _is_time(time) and not vector.sequence and not rest and vector.width == steps.width
    if not fits or features != steps.ordered or own != vector.ordered or steps.ids or vector.ids:
        raise NotTranslated(WITH_ITSELF)
    draft = node.draft
    steps, vector = draft.lined_up(steps, f"{node.name}_in"), draft.lined_up(vector, f"{node.name}_query")
    query = repeating.repeated(node, vector.at(*steps.axes[:-2], (), own), len(steps.axes) - 2, time[0].sizes, steps)
    both = draft.add(
        MergeLayer,
        f"{node.name}_products",
        [draft.reference(steps, f"{node.name}_in"), draft.reference(query, f"{node.name}_query")],
        mode="multiply",
    )
    ones = {"kernel": np.ones((steps.width, 1), np.float32)}
    made = draft.add(DenseLayer, node.name, [both], ones, units=1, use_bias=False)
    ends: tuple[Axis, Axis] = ((), time) if turned else (time, ())
    return Flow((Part(made, 1),), (*steps.axes[:-2], *ends))


def _is_time(axis: Axis) -> bool:
    return [one.role for one in axis] == ["time"]


def _alike(one: Axis, other: Axis) -> bool:
    return [(atom.role, atom.sizes) for atom in one] == [(atom.role, atom.sizes) for atom in other]
