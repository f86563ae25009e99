"""Operators that take by numbers: Gather and its like, and Where. They compute nothing. Knows no graphs.

What depends on the rows' lengths comes as numbers too: the rows put in order and back, the last step that is no padding, a mask.
Each row is followed as if it were alone, as long as it is, and then most of that moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.onnx.layers import lookup
from cellserve.models.importers.onnx.layers.taking import one_step, take
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Axis, Flow, Known, NotTranslated, Value

Array = npt.NDArray[Any]
OTHERWISE = "it takes steps by numbers that differ from row to row, or from feature to feature"


def gather(node: Node) -> list[Value]:
    """Rows of a table by ids, one step of a sequence, or some of the features."""
    if isinstance(node.input(1), Flow):
        return [lookup.embedded(node)]
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
        return [one_step(node, flow, axis, [one[0] for one in numbers], keep=not scalar)]
    if roles == {"batch"} and all(one == list(range(size)) for one, size in zip(numbers, sizes)) and not scalar:
        return [flow]
    if roles == {"batch", "time"} and len(flow.axes[axis]) == 2:
        return [_of_folded_rows(node, flow, axis, numbers)]
    if (roles == {"feature"} or not roles) and all(one == numbers[0] for one in numbers):
        made = take(node, flow, axis, numbers[0]) if roles else flow
        return [made.at(*made.axes[:axis], *made.axes[axis + 1 :]) if scalar else made]
    raise NotTranslated("it takes some of the rows or steps")


def gather_elements(node: Node) -> list[Value]:
    """One step of each row, the same for all its features."""
    flow, known = node.flow(0), node.known(1, "numbers")
    axis = axis_number(int(node.attributes.get("axis", 0)), len(flow.axes))
    if known is None or [one.role for one in flow.axes[axis]] != ["time"]:
        raise NotTranslated("it takes something else than steps of the sequence by numbers")
    steps = []
    for trial, array in enumerate(known.arrays):
        wanted = tuple(1 if place == axis else size for place, size in enumerate(flow.shape(trial)))
        if array.shape != wanted:
            raise NotTranslated(OTHERWISE)
        steps.append(_one_number(array, flow.shape(trial)[axis]))
    return [one_step(node, flow, axis, steps)]


def gather_nd(node: Node) -> list[Value]:
    """The same by pairs of a row and a step."""
    flow, known = node.flow(0), node.known(1, "numbers")
    lead = [[one.role for one in axis] for axis in flow.axes[:2]]
    if known is None or int(node.attributes.get("batch_dims", 0)) or sorted(lead) != [["batch"], ["time"]]:
        raise NotTranslated("it takes something else than a step of each row by numbers")
    time = lead.index(["time"])
    steps = []
    for trial, array in enumerate(known.arrays):
        rows = flow.shape(trial)[1 - time]
        if array.shape != (rows, 2) or (array[:, 1 - time] % rows != np.arange(rows)).any():
            raise NotTranslated(OTHERWISE)
        steps.append(_one_number(array[:, time], flow.shape(trial)[time]))
    return [_without(one_step(node, flow, time, steps), time)]


def _of_folded_rows(node: Node, flow: Flow, axis: int, numbers: Sequence[Sequence[int]]) -> Flow:
    """One step of each row, where rows and steps are folded into one axis."""
    roles = [one.role for one in flow.axes[axis]]
    steps = []
    for trial, chosen in enumerate(numbers):
        sizes = [one.sizes[trial] for one in flow.axes[axis]]
        row, step = (np.unravel_index(np.array(chosen), sizes)[roles.index(role)] for role in ("batch", "time"))
        if not np.array_equal(row, np.arange(sizes[roles.index("batch")])):
            raise NotTranslated(OTHERWISE)
        steps.append(_one_number(step, sizes[roles.index("time")]))
    batch, time = (next(one for one in flow.axes[axis] if one.role == role) for role in ("batch", "time"))
    apart = flow.at(*flow.axes[:axis], (batch,), (time,), *flow.axes[axis + 1 :])
    return _without(one_step(node, apart, axis + 1, steps), axis + 1)


def where(node: Node) -> list[Value]:
    """Of a condition that holds everywhere, or nowhere."""
    condition = node.known(0, "condition")
    if condition is None or (holds := condition.fill) is None:
        raise NotTranslated("which of two numbers it takes differs from step to step")
    chosen, shape = node.flow(1 if holds else 2), (node.input(0), node.input(2 if holds else 1))
    for trial in range(node.trials):
        sizes = [_shape(one, trial) for one in shape if one is not None]
        if np.broadcast_shapes(chosen.shape(trial), *sizes) != chosen.shape(trial):
            raise NotTranslated("it repeats what it takes along an axis")
    return [chosen]


def _shape(value: Value, trial: int) -> tuple[int, ...]:
    if isinstance(value, Flow):
        return value.shape(trial)
    return (value.arrays if isinstance(value, Known) else value.places)[trial].shape


def _one_number(array: Array, size: int) -> int:
    found = np.unique(array % size) if size and array.size else np.zeros(0)
    if len(found) != 1:
        raise NotTranslated(OTHERWISE)
    return int(found[0])


def _without(flow: Flow, axis: int) -> Flow:
    kept: list[Axis] = [one for place, one in enumerate(flow.axes) if place != axis]
    return flow.at(*kept)
