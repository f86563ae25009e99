"""Operators that move axes: Transpose, Reshape, Concat, Pad and their like. They compute nothing. Knows no graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.description.layers.windowed import Padding1dLayer
from cellserve.models.importers.onnx.layers.taking import retimed
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Atom, Axis, Flow, NotTranslated, Value, feature

Array = npt.NDArray[Any]


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
    keeps_zero, of_one_row = bool(node.attributes.get("allowzero")), node.draft.one_row and _is_of_one_row(flow, wanted)
    olds = [_of_one_row(flow, trial) if of_one_row else flow.shape(trial) for trial in range(node.trials)]
    shapes = [_target(old, one, keeps_zero) for old, one in zip(olds, wanted)]
    if len({len(shape) for shape in shapes}) != 1:
        raise NotTranslated("its number of axes depends on the input")
    return [_regrouped(flow, list(zip(*shapes)), node, of_one_row=of_one_row)]


def _is_of_one_row(flow: Flow, wanted: Sequence[Sequence[int]]) -> bool:
    """Whether a shape has room for one row, where others are fed."""
    whole = all(min(shape, default=1) > 0 for shape in wanted)
    return whole and all(
        prod(_of_one_row(flow, trial)) == prod(shape) != prod(flow.shape(trial)) for trial, shape in enumerate(wanted)
    )


def _of_one_row(flow: Flow, trial: int) -> tuple[int, ...]:
    return tuple(prod(one.sizes[trial] for one in axis if one.role != "batch") for axis in flow.axes)


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


def _regrouped(flow: Flow, sizes: Sequence[Sequence[int]], node: Node, *, of_one_row: bool) -> Flow:
    """The same atoms, outermost first, cut into axes of these sizes; atoms of features are cut themselves where need be.

    `sizes`: of each new axis, for each trial. `of_one_row`: rows take no room in them, and go where there is an axis of size 1.
    """
    before = [one for axis in flow.axes for one in axis]
    atoms, axes = [one for one in before if not (of_one_row and one.role == "batch")], []
    features = flow.features
    for wanted in sizes:
        axis: list[Atom] = []
        while (taken := tuple(prod(one.sizes[t] for one in axis) for t in range(node.trials))) != tuple(wanted):
            if not atoms:
                raise NotTranslated("it cuts axes otherwise than rows, steps and features lie in them")
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
    return replace(flow, axes=_with_rows(axes, before) if of_one_row else tuple(axes), features=features)


def _with_rows(axes: Sequence[Axis], before: Sequence[Atom]) -> tuple[Axis, ...]:
    """`before`: all atoms, as they lay. The rows are the first axis that is empty, else lie before what they lay before."""
    rows = next(one for one in before if one.role == "batch")
    empty = next((place for place, axis in enumerate(axes) if not axis), None)
    if empty is not None:
        return (*axes[:empty], (rows,), *axes[empty + 1 :])
    behind = before[before.index(rows) + 1 :]
    place = next((place for place, axis in enumerate(axes) if behind and behind[0] in axis), len(axes) - 1)
    cut = axes[place].index(behind[0]) if behind and behind[0] in axes[place] else len(axes[place])
    return (*axes[:place], (*axes[place][:cut], rows, *axes[place][cut:]), *axes[place + 1 :])


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
    return [retimed(made, axis, [flow.shape(trial)[axis] + before + after for trial in range(node.trials)])]


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
