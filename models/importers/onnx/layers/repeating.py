"""What has one of something, as often as something else: Expand, Tile, sums and products of different shapes. Knows no graphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellserve.models.description.layers.rows import RepeatVectorLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.importers.onnx.node import Node, atom
from cellserve.models.importers.onnx.values import Flow, NotTranslated, Part, Value, feature


def expand(node: Node) -> list[Value]:
    """To the shape that it has, or one vector or number to all steps, or one number to all features."""
    flow, wanted = node.flow(0), node.whole("shape", 1) or ()
    rank = max((len(shape) for shape in wanted), default=0)
    flow = flow.at(*((),) * (rank - len(flow.axes)), *flow.axes)
    for place in range(len(flow.axes)):
        sizes = [max(shape[place - len(flow.axes)], 1) if place >= len(flow.axes) - len(shape) else 1 for shape in wanted]
        if all(size in (1, flow.shape(trial)[place]) for trial, size in enumerate(sizes)):
            continue
        if flow.axes[place]:
            raise NotTranslated("it repeats what it reads along an axis that it has")
        flow = repeated(node, flow, place, sizes)
    return [flow]


def tile(node: Node) -> list[Value]:
    """One vector or number to all steps, or one number to all features."""
    flow, repeats = node.flow(0), node.whole("repeats", 1) or ()
    for place, axis in enumerate(flow.axes):
        counts = [each[place] for each in repeats]
        if all(count == 1 for count in counts):
            continue
        if axis or 0 in counts:
            raise NotTranslated("it repeats what it reads along an axis that it has, or not at all")
        flow = repeated(node, flow, place, counts)
    return [flow]


def repeated(node: Node, flow: Flow, place: int, sizes: Sequence[int], beside: Flow | None = None) -> Flow:
    """What has an axis of size 1 there, as often as these sizes say for each trial: for each step, or for each feature.

    `beside`: whose steps these are, where that is known.
    Raises NotTranslated: for each row, or for something that is no size of the network.
    """
    draft = node.draft
    if len(set(sizes)) == 1 and flow.width == 1 and not flow.ids:
        ones = {"kernel": np.ones((1, sizes[0]), np.float32)}
        made = draft.add(DenseLayer, f"{node.name}_repeated", [draft.reference(flow)], ones, units=sizes[0], use_bias=False)
        own = feature(sizes[0], node.trials)
        return Flow((Part(made, sizes[0]),), (*flow.axes[:place], (own,), *flow.axes[place + 1 :]), (own,))
    like = draft.sequences.get(tuple(sizes)) if beside is None or not beside.sequence else beside.parts[0].reference
    count = sizes[0] if like is None and len(set(sizes)) == 1 else None
    if flow.sequence or flow.ids or (like is None and count is None):
        raise NotTranslated("it repeats what it reads along an axis")
    source = draft.reference(flow, f"{node.name}_in")
    made = draft.add(RepeatVectorLayer, f"{node.name}_repeated", [source, like] if like else [source], count=count)
    axes = (*flow.axes[:place], (atom("time", sizes),), *flow.axes[place + 1 :])
    return Flow((Part(made, flow.width),), axes, flow.features)
