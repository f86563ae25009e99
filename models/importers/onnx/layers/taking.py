"""Operators that take from one place to another: Slice and Split, of steps or of features. They compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellserve.models.description.layers.rows import LastStepLayer, ReverseLayer
from cellserve.models.description.layers.windowed import Cropping1dLayer, Pooling1dLayer
from cellserve.models.importers.onnx.node import Node, atom, axis_number
from cellserve.models.importers.onnx.values import Axis, Flow, NotTranslated, Value, feature


def slice_(node: Node) -> list[Value]:
    flow = node.flow(0)
    starts, ends = node.whole("starts", 1), node.whole("ends", 2)
    if starts is None or ends is None:
        raise NotTranslated("it does not say from where to where")
    axes = node.axes("axes", 3) or tuple(range(len(starts[0])))
    leaps = node.whole("steps", 4, [1] * len(axes)) or ()
    for number, axis in enumerate(axes):
        bounds = [(starts[t][number], ends[t][number], leaps[t][number]) for t in range(node.trials)]
        flow = _cut(node, flow, axis_number(axis, len(flow.axes)), bounds)
    return [flow]


def _cut(node: Node, flow: Flow, axis: int, bounds: Sequence[tuple[int, int, int]]) -> Flow:
    """One axis of it. bounds: start, end and leap, for each trial."""
    sizes = [flow.shape(trial)[axis] for trial in range(node.trials)]
    taken = [
        range(size)[slice(start, None if leap < 0 and end < -size else end, leap)]
        for size, (start, end, leap) in zip(sizes, bounds)
    ]
    if all(one == range(size) for one, size in zip(taken, sizes)):
        return flow
    roles = {one.role for one in flow.axes[axis]}
    if roles == {"time"}:
        return _cut_time(node, flow, axis, sizes, taken)
    if roles == {"feature"} and len({(one.start, one.stop, one.step) for one in taken}) == 1:
        return take(node, flow, axis, list(taken[0]))
    raise NotTranslated("it takes some of the rows, or of an axis that holds more than one thing")


def _cut_time(node: Node, flow: Flow, axis: int, sizes: Sequence[int], taken: Sequence[range]) -> Flow:
    if all(one == range(size)[::-1] for one, size in zip(taken, sizes)):
        return node.draft.then(flow, ReverseLayer, f"{node.name}_reversed")
    if all(len(one) == 1 and abs(one.step) == 1 for one in taken):
        return one_step(node, flow, axis, [one[0] for one in taken])
    starts, leaps = {one.start for one in taken}, {one.step for one in taken}
    to_the_end = all(one == range(one.start, size, one.step) for one, size in zip(taken, sizes))
    if len(starts) == len(leaps) == 1 and min(leaps) > 1 and to_the_end:
        if before := starts.pop():
            flow = node.draft.then(flow, Cropping1dLayer, f"{node.name}_cropped", before=before, after=0)
        made = node.draft.then(flow, Pooling1dLayer, node.name, mode="max", pool_size=1, strides=leaps.pop())
        return retimed(made, axis, [len(one) for one in taken])
    margins = {(one.start, size - one.stop) for one, size in zip(taken, sizes) if one.step == 1}
    if len(margins) != 1 or any(one.step != 1 for one in taken):
        raise NotTranslated("it takes steps of the sequence by numbers that no layer counts by")
    before, after = margins.pop()
    return retimed(node.draft.then(flow, Cropping1dLayer, node.name, before=before, after=after), axis, [len(o) for o in taken])


def one_step(node: Node, flow: Flow, axis: int, numbers: Sequence[int], *, keep: bool = True) -> Flow:
    """One step of each row, counted from its end if that is the same number in all trials, else from its start.

    With one trial, a length that the exporter fixed, the nearer end is meant.
    """
    if flow.ids:
        raise NotTranslated("it takes single ids of a sequence")
    sizes = [flow.shape(trial)[axis] for trial in range(node.trials)]
    behind = {size - 1 - number for size, number in zip(sizes, numbers)}
    ahead = set(numbers)
    draft = node.draft
    if len(behind) == 1 and not (len(ahead) == 1 and min(ahead) < min(behind)):
        if (count := behind.pop()) > 0:
            flow = draft.then(flow, Cropping1dLayer, f"{node.name}_cropped", before=0, after=count)
    elif len(ahead) == 1:
        if (count := ahead.pop()) > 0:
            draft.remarks.append(
                f"At {node.name} the file takes step {count + 1} of each row, whatever its length: where an exporter fixed the "
                "length of its example, that is the last one at that length only. It is served as the file answers."
            )
            flow = draft.then(flow, Cropping1dLayer, f"{node.name}_cropped", before=count, after=0)
        flow = draft.then(flow, ReverseLayer, f"{node.name}_reversed")
    else:
        raise NotTranslated("the step that it takes is neither counted from the start nor from the end")
    made = draft.then(flow, LastStepLayer, node.name)
    kept: list[Axis] = [() if place == axis else one for place, one in enumerate(made.axes)]
    return made.at(*(kept if keep else kept[:axis] + kept[axis + 1 :]))


def retimed(flow: Flow, axis: int, sizes: Sequence[int]) -> Flow:
    return flow.at(*((atom("time", sizes),) if place == axis else one for place, one in enumerate(flow.axes)))


def take(node: Node, flow: Flow, axis: int, places: Sequence[int]) -> Flow:
    """These of an axis of features, in this order."""
    own = flow.axes[axis]
    order = [*(one for one in flow.features if one not in own), *own]
    sizes = [one.sizes[0] for one in flow.features]
    numbers = np.arange(flow.width).reshape(sizes)
    turned = numbers.transpose([flow.features.index(one) for one in order])
    chosen = turned.reshape(*turned.shape[: len(order) - len(own)], -1)[..., list(places)]
    # the axis stays where its outermost atom lay among the features
    first = min(flow.features.index(one) for one in own)
    lead = sum(1 for one in flow.features[:first] if one not in own)
    chosen = np.moveaxis(chosen, -1, lead)
    new: Axis = (feature(len(places), node.trials),) if len(places) > 1 else ()
    rest = [one for one in flow.features if one not in own]
    features = (*rest[:lead], *new, *rest[lead:])
    parts = node.draft.selected(flow, [int(number) for number in chosen.ravel()], node.name)
    axes = tuple(new if place == axis else one for place, one in enumerate(flow.axes))
    return Flow(parts, axes, features, flow.ids, flow.shared)


def split(node: Node) -> list[Value]:
    flow, axis = node.flow(0), axis_number(int(node.attributes.get("axis", 0)), len(node.flow(0).axes))
    size = flow.shape(0)[axis]
    count = len(node.used)
    each = -(-size // count)
    lengths = (node.whole("split", 1) or (tuple(min(each, size - n * each) for n in range(count)),))[0]
    if {one.role for one in flow.axes[axis]} - {"feature"} or sum(lengths) != size or min(lengths) < 1:
        raise NotTranslated("it cuts rows or steps apart")
    starts = np.cumsum([0, *lengths])
    if not flow.axes[axis]:
        return [flow]
    return [take(node, flow, axis, range(start, start + n)) for start, n in zip(starts, lengths)]
