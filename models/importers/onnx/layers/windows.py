"""ONNX's convolutions and poolings over time as layers. Of other axes there are none. Knows no graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.rows import GlobalPooling1dLayer
from cellserve.models.description.layers.stepwise import DenseLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.importers.onnx.layers import attention
from cellserve.models.importers.onnx.node import Node, atom, axis_number
from cellserve.models.importers.onnx.values import Axis, Flow, Known, NotTranslated, Part, Value, feature

Array = npt.NDArray[Any]
LARGEST_KERNEL: Final = 1 << 26


def over_one_axis(follow: Callable[[Node], list[Value]]) -> Callable[[Node], list[Value]]:
    """Of windows over two axes, one of which has size 1 and nothing to look at: those over the other."""

    def followed(node: Node) -> list[Value]:
        flow = node.input(0)
        place = next((p for p in (2, 3) if not flow.axes[p]), None) if isinstance(flow, Flow) and len(flow.axes) == 4 else None
        if place is None or not isinstance(flow, Flow):
            return follow(node)
        own, other = place - 2, 3 - place
        given: list[Value | None] = [flow.at(*(axis for p, axis in enumerate(flow.axes) if p != place)), *node.given[1:]]
        if node.operator == "Conv":
            kernel = node.constant(1, "kernel")
            if kernel.ndim != 4 or kernel.shape[place] != 1:
                raise NotTranslated(f"its kernel is {list(kernel.shape)}, of which one axis meets only one row of zeros")
            given[1] = Known((kernel.squeeze(place),) * node.trials)
        options = dict(node.attributes)
        for name in ("strides", "dilations", "kernel_shape"):
            if name in options:
                options[name] = [options[name][other]]
        if "pads" in options:
            pads = options["pads"]
            if pads[own] or pads[own + 2]:
                raise NotTranslated("it puts zeros around an axis of size 1")
            options["pads"] = [pads[other], pads[other + 2]]
        if node.attributes.get("kernel_shape", [1, 1])[own] != 1:
            raise NotTranslated("its windows reach beyond an axis of size 1")
        made = follow(replace(node, attributes=options, given=given))
        return [one.at(*one.axes[:place], (), *one.axes[place:]) for one in made if isinstance(one, Flow)]

    return followed


def conv(node: Node) -> list[Value]:
    kernel, bias = node.constant(1, "kernel"), node.optional(2, "bias")
    if kernel.ndim != 3:
        raise NotTranslated(f"it is a convolution over {kernel.ndim - 2} axes; only those over time are layers here")
    flow = _channels_first(node)
    group = int(node.attributes.get("group", 1))
    if kernel.shape[1] * group != flow.width or len(kernel) % group:
        raise NotTranslated(f"its kernel is {list(kernel.shape)} in {group} groups, for {flow.width} channels")
    size = kernel.shape[2]
    stride, leap = _one(node, "strides"), _one(node, "dilations")
    flow, padding = _padded(node, flow, (size - 1) * leap + 1, stride)
    arrays = {"kernel": _ungrouped(kernel, group).transpose(2, 1, 0)} | ({} if bias is None else {"bias": bias})
    made = node.draft.add(
        Conv1dLayer, node.name, [node.draft.reference(flow, f"{node.name}_in")], arrays,
        units=len(kernel), kernel_size=size, strides=stride, dilation=leap, padding=padding, use_bias=bias is not None,
    )  # fmt: skip
    own: Axis = (feature(len(kernel), node.trials),) if len(kernel) > 1 else ()
    return [Flow((Part(made, len(kernel)),), (flow.axes[0], own, _after(node, flow, made)), own)]


def pool(node: Node) -> list[Value]:
    flow = _channels_first(node)
    shape = node.attributes.get("kernel_shape", ())
    if len(shape) != 1 or (len(node.used) > 1 and node.used[1]):
        raise NotTranslated("it pools over more than time, or gives the places of the maxima")
    if node.attributes.get("ceil_mode", 0) and _one(node, "strides") > 1:
        raise NotTranslated("it pools windows that reach beyond the row (ceil_mode)")
    average = node.operator == "AveragePool"
    if _one(node, "dilations") != 1:
        raise NotTranslated("it pools in leaps (dilations)")
    stride = _one(node, "strides")
    counted = average and bool(node.attributes.get("count_include_pad", 0))
    flow, padding = _padded(node, flow, int(shape[0]), stride, "counted" if counted else "left_out")
    made = node.draft.then(
        flow, Pooling1dLayer, node.name,
        mode="average" if average else "max", pool_size=int(shape[0]), strides=stride, padding=padding,
    )  # fmt: skip
    return [made.at(flow.axes[0], flow.axes[1], _after(node, flow, made.parts[0].reference))]


def global_pool(node: Node) -> list[Value]:
    flow = _channels_first(node)
    made = node.draft.then(flow, GlobalPooling1dLayer, node.name, mode="average" if "Average" in node.operator else "max")
    return [made.at(flow.axes[0], flow.axes[1], ())]


def reduce(node: Node) -> list[Value]:
    """The mean, the maximum or the sum over time; the mean or the sum over features."""
    named, sums = node.axes("axes", 1), node.operator == "ReduceSum"
    if not named and node.attributes.get("noop_with_empty_axes"):
        return [node.flow(0)]
    flow = node.flow(0, weighing=sums)
    if flow.ids:
        raise NotTranslated("it computes with ids as if they were numbers")
    rank, axis = len(flow.axes), flow.axis_of("time")
    places = {axis_number(place, rank) for place in named} if named else set(range(rank))
    acted = [place for place in places if flow.axes[place]]
    if len(acted) != 1 or flow.shares:
        raise NotTranslated("it takes the mean, the maximum or the sum over something else than time or features alone")
    if acted == [axis]:
        made = attention.pooled(node, flow) if flow.weights is not None else _over_time(node, flow)
    else:
        made = _over_features(node, node.features(0), acted[0])
    kept = bool(node.attributes.get("keepdims", 1))
    return [made.at(*(() if place in places else one for place, one in enumerate(made.axes) if kept or place not in places))]


def _over_time(node: Node, flow: Flow) -> Flow:
    mode = {"ReduceMean": "average", "ReduceMax": "max", "ReduceSum": "sum"}[node.operator]
    made = node.draft.then(flow, GlobalPooling1dLayer, node.name, mode=mode)
    if mode == "sum":
        axis = flow.axis_of("time") or 0
        node.draft.totals[made.parts[0].reference] = tuple(flow.shape(trial)[axis] for trial in range(node.trials))
    return made


def _over_features(node: Node, flow: Flow, axis: int) -> Flow:
    if node.operator == "ReduceMax":
        raise NotTranslated("it takes the maximum of the features, which no layer does")
    flow = node.draft.lined_up(flow, f"{node.name}_in", axis)
    share = 1.0 if node.operator == "ReduceSum" else 1.0 / flow.width
    kernel = np.full((flow.width, 1), share, np.float32)
    made = node.draft.add(
        DenseLayer, node.name, [node.draft.reference(flow, f"{node.name}_in")], {"kernel": kernel}, units=1, use_bias=False
    )
    return Flow((Part(made, 1),), tuple(() if place == axis else one for place, one in enumerate(flow.axes)))


def _channels_first(node: Node) -> Flow:
    """[rows, features, time]."""
    flow = node.features(0)
    if (
        len(flow.axes) != 3
        or [one.role for one in flow.axes[2]] != ["time"]
        or [o.role for o in flow.axes[0]] not in ([], ["batch"])
    ):
        raise NotTranslated("it does not read [rows, channels, time]")
    return node.draft.lined_up(flow, f"{node.name}_in", 1)


def _one(node: Node, name: str) -> int:
    values = node.attributes.get(name) or [1]
    if len(values) != 1:
        raise NotTranslated(f"its {name} are {list(values)}; only windows over time are layers here")
    return int(values[0])


def _padded(
    node: Node, flow: Flow, size: int, stride: int, zeros: Literal["summed", "counted", "left_out"] = "summed"
) -> tuple[Flow, str]:
    """(the flow, perhaps with zeros around it; the layer's padding).

    `zeros`: what padding is to a window: summed with the rest, counted in its mean, or left out of its maximum or mean.
    """
    auto = str(node.attributes.get("auto_pad", "NOTSET"))
    if auto == "VALID":
        return flow, "valid"
    if auto == "SAME_UPPER" and zeros != "counted":
        return flow, "same"
    if auto in ("SAME_LOWER", "SAME_UPPER"):
        if stride != 1 and size > 1:
            raise NotTranslated(f"its padding ({auto} with strides) depends on the row's length")
        less, more = (size - 1) // 2, size // 2
        pads: Sequence[int] = (more, less) if auto == "SAME_LOWER" else (less, more)
    else:
        pads = [int(pad) for pad in node.attributes.get("pads") or (0, 0)]
    if len(pads) != 2 or min(pads) < 0:
        raise NotTranslated(f"its pads are {list(pads)}")
    before, after = pads
    if not before and not after:
        return flow, "valid"
    if zeros != "counted" and stride == 1 and before == (size - 1) // 2 and before + after == size - 1:
        return flow, "same"
    if zeros == "left_out":
        raise NotTranslated(
            f"it pools with {before} steps of padding before and {after} after the row, which no layer leaves out"
        )
    if zeros == "summed" and stride == 1 and before == size - 1 and not after:
        return flow, "causal"
    made = node.draft.then(flow, Padding1dLayer, f"{node.name}_padding", before=before, after=after)
    time = atom("time", [flow.shape(trial)[2] + before + after for trial in range(node.trials)])
    return made.at(flow.axes[0], flow.axes[1], (time,)), "valid"


def _after(node: Node, flow: Flow, made: str) -> Axis:
    """The axis of time behind the layer."""
    layer = next(one for one in node.draft.layers if one.name == made)
    change = layer.change
    steps = [flow.shape(trial)[2] if change is None else change.steps(flow.shape(trial)[2]) for trial in range(node.trials)]
    return (atom("time", steps),)


def _ungrouped(kernel: Array, group: int) -> Array:  # [out, in / group, k]
    """[out, in, k] with zeros where a group does not look."""
    if group == 1:
        return kernel
    out, inner, size = kernel.shape
    if out * inner * group * size > LARGEST_KERNEL:
        raise NotTranslated(f"its kernel in {group} groups would be one of {out * inner * group * size:,} numbers")
    whole = np.zeros((out, inner * group, size), kernel.dtype)
    each = out // group
    for number in range(group):
        whole[number * each : (number + 1) * each, number * inner : (number + 1) * inner] = kernel[
            number * each : (number + 1) * each
        ]
    return whole
