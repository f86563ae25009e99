"""Operators that move axes and take parts: Transpose, Reshape, Slice, Gather, Concat and their like. They compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.rows import LastStepLayer, RepeatVectorLayer, ReverseLayer
from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer
from cellserve.models.description.layers.windowed import Cropping1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.importers.onnx.node import Node, atom, axis_number
from cellserve.models.importers.onnx.values import Atom, Axis, Flow, NotTranslated, Part, Value, feature

Array = npt.NDArray[Any]
FAR: Final = 1 << 31  # beyond any axis: "to its end"


def identity(node: Node) -> list[Value]:
    return [node.flow(0, weighing=True) for _ in node.used]


def cast(node: Node) -> list[Value]:
    flow, to = node.flow(0, weighing=True), int(node.attributes["to"])
    if flow.ids != (to in (2, 3, 4, 5, 6, 7, 12, 13)):
        raise NotTranslated("it turns numbers into ids, or ids into numbers")
    return [flow]


def transpose(node: Node) -> list[Value]:
    flow = node.flow(0, weighing=True)
    order = node.attributes.get("perm") or list(range(len(flow.axes)))[::-1]
    if sorted(order) != list(range(len(flow.axes))):
        raise NotTranslated(f"its order {list(order)} is not one of {len(flow.axes)} axes")
    return [flow.at(*(flow.axes[place] for place in order))]


def squeeze(node: Node) -> list[Value]:
    flow, named = node.flow(0, weighing=True), node.axes("axes", 1)
    rank = len(flow.axes)
    places = [p for p, axis in enumerate(flow.axes) if not axis] if named is None else [axis_number(a, rank) for a in named]
    for place in places:
        if flow.axes[place]:
            role = flow.axes[place][0].role
            raise NotTranslated(f"it drops an axis of {_role(role)}, as if there were only one")
    return [flow.at(*(axis for place, axis in enumerate(flow.axes) if place not in places))]


def unsqueeze(node: Node) -> list[Value]:
    flow, named = node.flow(0, weighing=True), node.axes("axes", 1) or ()
    rank = len(flow.axes) + len(named)
    places = {axis_number(axis, rank) for axis in named}
    rest = iter(flow.axes)
    return [flow.at(*(() if place in places else next(rest) for place in range(rank)))]


def flatten(node: Node) -> list[Value]:
    flow = node.flow(0)
    rank = len(flow.axes)
    axis = int(node.attributes.get("axis", 1))
    cut = axis_number(axis, rank) if axis < rank else rank
    first = tuple(one for part in flow.axes[:cut] for one in part)
    rest = tuple(one for part in flow.axes[cut:] for one in part)
    return [flow.at(first, rest)]


def reshape(node: Node) -> list[Value]:
    flow, wanted = node.flow(0, weighing=True), node.whole("shape", 1)
    if wanted is None:
        raise NotTranslated("it has no shape")
    shapes = [_target(flow.shape(trial), one, bool(node.attributes.get("allowzero"))) for trial, one in enumerate(wanted)]
    if len({len(shape) for shape in shapes}) != 1:
        raise NotTranslated("its number of axes depends on the input")
    return [_regrouped(flow, list(zip(*shapes)), node)]


def _target(old: Sequence[int], wanted: Sequence[int], keeps_zero: bool) -> tuple[int, ...]:
    shape = [old[place] if size == 0 and not keeps_zero and place < len(old) else size for place, size in enumerate(wanted)]
    if shape.count(-1) == 1:
        known = -prod(shape)
        shape[shape.index(-1)] = prod(old) // known if known else 0
    if prod(shape) != prod(old) or min(shape, default=1) < 0:
        raise NotTranslated(
            f"it makes {list(wanted)} of {list(old)}: the exporter fixed a length or a number of rows in the graph"
        )
    return tuple(shape)


def _regrouped(flow: Flow, sizes: Sequence[Sequence[int]], node: Node) -> Flow:  # of each new axis, for each trial
    """The same atoms, outermost first, cut into axes of these sizes; atoms of features are cut themselves where need be."""
    atoms, axes = [one for axis in flow.axes for one in axis], []
    features = flow.features
    for wanted in sizes:
        axis: list[Atom] = []
        while tuple(prod(one.sizes[t] for one in axis) for t in range(node.trials)) != tuple(wanted):
            if not atoms:
                raise NotTranslated("it cuts axes otherwise than rows, steps and features lie in them")
            taken = tuple(prod(one.sizes[t] for one in axis) for t in range(node.trials))
            first = atoms.pop(0)
            missing = [whole // part if part and whole % part == 0 else 0 for whole, part in zip(wanted, taken)]
            if first.role == "feature" and first.sizes[0] > missing[0] > 1 and first.sizes[0] % missing[0] == 0:
                outer, inner = feature(missing[0], node.trials), feature(first.sizes[0] // missing[0], node.trials)
                features = tuple(one for old in features for one in ((outer, inner) if old is first else (old,)))
                atoms.insert(0, inner)
                first = outer
            if any(size == 0 or size % own for size, own in zip(missing, first.sizes)):
                raise NotTranslated("it cuts axes otherwise than rows, steps and features lie in them")
            axis.append(first)
        axes.append(tuple(axis))
    if atoms:
        raise NotTranslated("it cuts axes otherwise than rows, steps and features lie in them")
    return replace(flow, axes=tuple(axes), features=features)


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
    if like is None or flow.sequence:
        raise NotTranslated("it repeats what it reads along an axis")
    made = draft.add(RepeatVectorLayer, f"{node.name}_repeated", [draft.reference(flow, f"{node.name}_in"), like])
    axes = (*flow.axes[:place], (atom("time", sizes),), *flow.axes[place + 1 :])
    return Flow((Part(made, flow.width),), axes, flow.features)


def tile(node: Node) -> list[Value]:
    if any(count != 1 for counts in node.whole("repeats", 1) or () for count in counts):
        raise NotTranslated("it repeats what it reads along an axis")
    return [node.flow(0)]


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
        return _take(node, flow, axis, list(taken[0]))
    raise NotTranslated("it takes some of the rows, or of an axis that holds more than one thing")


def _cut_time(node: Node, flow: Flow, axis: int, sizes: Sequence[int], taken: Sequence[range]) -> Flow:
    if all(one == range(size)[::-1] for one, size in zip(taken, sizes)):
        return node.draft.then(flow, ReverseLayer, f"{node.name}_reversed")
    if all(len(one) == 1 and abs(one.step) == 1 for one in taken):
        return _step(node, flow, axis, [one[0] for one in taken])
    starts, leaps = {one.start for one in taken}, {one.step for one in taken}
    to_the_end = all(one == range(one.start, size, one.step) for one, size in zip(taken, sizes))
    if len(starts) == len(leaps) == 1 and min(leaps) > 1 and to_the_end:
        if before := starts.pop():
            flow = node.draft.then(flow, Cropping1dLayer, f"{node.name}_cropped", before=before, after=0)
        made = node.draft.then(flow, Pooling1dLayer, node.name, mode="max", pool_size=1, strides=leaps.pop())
        return _retimed(made, axis, [len(one) for one in taken])
    margins = {(one.start, size - one.stop) for one, size in zip(taken, sizes) if one.step == 1}
    if len(margins) != 1 or any(one.step != 1 for one in taken):
        raise NotTranslated("it takes steps of the sequence by numbers that no layer counts by")
    before, after = margins.pop()
    return _retimed(node.draft.then(flow, Cropping1dLayer, node.name, before=before, after=after), axis, [len(o) for o in taken])


def _step(node: Node, flow: Flow, axis: int, numbers: Sequence[int], *, keep: bool = True) -> Flow:
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


def _retimed(flow: Flow, axis: int, sizes: Sequence[int]) -> Flow:
    return flow.at(*((atom("time", sizes),) if place == axis else one for place, one in enumerate(flow.axes)))


def _take(node: Node, flow: Flow, axis: int, places: Sequence[int]) -> Flow:
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


def gather(node: Node) -> list[Value]:
    """Rows of a table by ids, one step of a sequence, or some of the features."""
    if isinstance(node.input(1), Flow):
        return [_embedded(node)]
    flow, axis = node.flow(0), int(node.attributes.get("axis", 0))
    axis = axis_number(axis, len(flow.axes))
    known = node.known(1, "numbers")
    if known is None:
        raise NotTranslated("it does not say what it takes")
    scalar = known.arrays[0].ndim == 0
    if known.arrays[0].ndim > 1:
        raise NotTranslated("it takes by numbers that are no list")
    sizes = [flow.shape(trial)[axis] for trial in range(node.trials)]
    numbers = [[int(number) % size for number in np.ravel(array)] for array, size in zip(known.arrays, sizes) if size]
    roles = {one.role for one in flow.axes[axis]}
    if roles == {"time"} and all(len(one) == 1 for one in numbers):
        return [_step(node, flow, axis, [one[0] for one in numbers], keep=not scalar)]
    if (roles == {"feature"} or not roles) and all(one == numbers[0] for one in numbers):
        made = _take(node, flow, axis, numbers[0]) if roles else flow
        return [made.at(*made.axes[:axis], *made.axes[axis + 1 :]) if scalar else made]
    raise NotTranslated("it takes some of the rows or steps")


def _embedded(node: Node) -> Flow:
    ids, table = node.flow(1), node.constant(0, "table")
    if not ids.ids or int(node.attributes.get("axis", 0)) % table.ndim or table.ndim != 2 or not ids.sequence:
        raise NotTranslated("it looks up something else than the ids of a sequence in a table [vocabulary, width]")
    if ids.of is not None:
        places = ids.of(np.arange(len(table)))
        if (
            places.shape != (len(table),)
            or places.dtype.kind not in "iu"
            or places.min() < -len(table)
            or places.max() >= len(table)
        ):
            raise NotTranslated("what it looks up for some ids lies beyond its table")
        table = table[places]
    width = int(table.shape[1])
    options = {"vocabulary": len(table), "units": width}
    made = node.draft.add(EmbeddingLayer, node.name, [node.draft.reference(ids)], {"table": table}, **options)
    own: Axis = (feature(width, node.trials),) if width > 1 else ()
    return Flow((Part(made, width),), (*ids.axes, own), own)


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
    return [_take(node, flow, axis, range(start, start + n)) for start, n in zip(starts, lengths)]


def concat(node: Node) -> list[Value]:
    flows = [node.flow(place) for place in range(len(node.given))]
    first = flows[0]
    axis = axis_number(int(node.attributes.get("axis", 0)), len(first.axes))
    if len(flows) == 1:
        return [first]
    for flow in flows:
        roles = [{one.role for one in own} for own in flow.axes]
        alike = len(flow.axes) == len(first.axes) and all(
            _alike(own, other, node.trials) for place, (own, other) in enumerate(zip(flow.axes, first.axes)) if place != axis
        )
        if not alike or roles[axis] - {"feature"} or flow.ids:
            raise NotTranslated("it joins along rows or steps, or tensors whose axes differ")
    flows = [_led(node, flow, axis) for flow in flows]
    count = sum(flow.shape(0)[axis] for flow in flows)
    own: Axis = (feature(count, node.trials),)
    rest = tuple(one for one in flows[0].features if one not in flows[0].axes[axis])
    axes = tuple(own if place == axis else one for place, one in enumerate(flows[0].axes))
    parts = tuple(part for flow in flows for part in flow.parts)
    return [Flow(parts, axes, (*own, *rest))]


def _led(node: Node, flow: Flow, axis: int) -> Flow:
    """With the features of this axis outermost, and the others in the order of the axes."""
    own = flow.axes[axis]
    order = (*own, *(one for one in flow.ordered if one not in own))
    if order == flow.features:
        return flow
    sizes = [one.sizes[0] for one in flow.features]
    numbers = np.arange(flow.width).reshape(sizes).transpose([flow.features.index(one) for one in order])
    parts = node.draft.selected(flow, [int(number) for number in numbers.ravel()], f"{node.name}_in_order")
    return Flow(parts, flow.axes, order, flow.ids, flow.shared)


def _alike(one: Axis, other: Axis, trials: int) -> bool:
    roles = [atom.role for atom in one if atom.role != "feature"]
    if roles != [atom.role for atom in other if atom.role != "feature"]:
        return False
    return all(prod(a.sizes[t] for a in one) == prod(a.sizes[t] for a in other) for t in range(trials))


def pad(node: Node) -> list[Value]:
    flow, pads = node.features(0), node.whole("pads", 1)
    mode = str(node.attributes.get("mode", "constant"))
    if mode != "constant":
        raise NotTranslated(f"it pads with other steps of the row ({mode}), which no layer does")
    if pads is None or len(set(pads)) != 1 or node.input(3) is not None:
        raise NotTranslated("how far it pads depends on the input, or it names axes")
    value = node.optional(2, "value")
    filling = float(np.ravel(value)[0]) if value is not None and value.size else float(node.attributes.get("value", 0.0))
    rank, axis = len(flow.axes), flow.axis_of("time")
    around = {place: (pads[0][place], pads[0][place + rank]) for place in range(rank) if pads[0][place] or pads[0][place + rank]}
    if not around:
        return [flow]
    if axis is None or set(around) != {axis} or filling:
        raise NotTranslated("it pads features, or with something else than zeros")
    before, after = around[axis]
    if min(before, after) < 0:
        raise NotTranslated("it pads by a negative number")
    made = node.draft.then(flow, Padding1dLayer, node.name, before=before, after=after)
    return [_retimed(made, axis, [flow.shape(trial)[axis] + before + after for trial in range(node.trials)])]


def reverse_sequence(node: Node) -> list[Value]:
    """Of all steps, or of as many as the rows have."""
    flow, lengths = node.flow(0), node.input(1)
    axis, rows = int(node.attributes.get("time_axis", 0)), int(node.attributes.get("batch_axis", 1))
    if flow.axis_of("time") != axis or {one.role for one in flow.axes[rows]} - {"batch"}:
        raise NotTranslated("it turns something else than the steps of each row round")
    node.require_whole_rows(lengths, flow)
    return [node.draft.then(flow, ReverseLayer, node.name)]


def _role(role: str) -> str:
    return {"batch": "rows", "time": "time steps", "feature": "features"}[role]
