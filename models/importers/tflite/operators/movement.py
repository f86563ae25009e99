"""Operators that move, take or repeat axes and compute nothing. Source: tensorflow/lite/kernels. Knows no layers."""

from __future__ import annotations

from typing import Final

import numpy as np
from onnx import TensorProto, helper

from cellserve.models.importers.tflite.call import Call
from cellserve.models.importers.tflite.file import DTYPES

FARTHEST: Final = (1 << 31) - 1


def same(call: Call) -> list[str]:
    return [call.value(0)]


def reshape(call: Call) -> list[str]:
    if call.has(1):
        if call.operator.input(1) in call.known:
            return [call.emit("Reshape", call.value(0), call.whole("shape", call.numbers(1, "shape")))]
        return [call.emit("Reshape", call.value(0), _long(call, 1))]
    return [call.emit("Reshape", call.value(0), call.whole("shape", call.option("NewShape") or call.made().shape))]


def squeeze(call: Call) -> list[str]:
    rank = len(call.tensor(0).shape)
    named = [axis % rank for axis in call.option("SqueezeDims") or ()]
    axes = named or [place for place, size in enumerate(call.tensor(0).shape) if size == 1]
    return [call.emit("Squeeze", call.value(0), call.whole("axes", axes))]


def expand_dims(call: Call) -> list[str]:
    return [call.emit("Unsqueeze", call.value(0), call.whole("axes", call.numbers(1, "axis")))]


def transpose(call: Call) -> list[str]:
    return [call.transposed(call.value(0), *call.numbers(1, "order"))]


def strided_slice(call: Call) -> list[str]:
    """Bits of the masks are axes: begin or end left open, or one place taken and its axis dropped."""
    if call.option("EllipsisMask") or call.option("NewAxisMask") or call.option("Offset"):
        raise call.refused("it slices with an ellipsis, a new axis or offsets")
    shape, masks = call.tensor(0).shape, {name: int(call.option(f"{name}Mask")) for name in ("Begin", "End", "ShrinkAxis")}
    begins, ends, leaps = (call.numbers(place, what) for place, what in ((1, "begin"), (2, "end"), (3, "strides")))
    if not len(begins) == len(ends) == len(leaps) <= len(shape) or 0 in leaps:
        raise call.refused("its begin, end and strides do not fit together; the file is damaged")
    taken, dropped = [], []
    for axis, (begin, end, leap) in enumerate(zip(begins, ends, leaps)):
        bit = 1 << axis
        if masks["ShrinkAxis"] & bit:
            dropped.append(axis)
            begin, leap = begin if not masks["Begin"] & bit else 0, 1
            end = begin + 1 if begin != -1 else FARTHEST
        else:
            begin = (0 if leap > 0 else FARTHEST) if masks["Begin"] & bit else begin
            end = (FARTHEST if leap > 0 else -FARTHEST) if masks["End"] & bit else end
            if end < 0 and leap < 0 and not masks["End"] & bit:
                end = end if end >= -shape[axis] else -FARTHEST
        if (begin, leap) == (0, 1) and (end >= FARTHEST or (shape[axis] == 1 and end == 1)):
            continue
        if shape[axis] == 1 and (begin, leap) in ((0, 1), (-1, 1)) and axis in dropped:
            continue
        taken.append((axis, begin, end, leap))
    value = call.value(0)
    if taken:
        axes, begins, ends, leaps = (list(column) for column in zip(*taken))
        lists = (call.whole(name, one) for name, one in (("begin", begins), ("end", ends), ("axes", axes), ("strides", leaps)))
        value = call.emit("Slice", value, *lists)
    return [call.emit("Squeeze", value, call.whole("dropped", dropped)) if dropped else value]


def slice_(call: Call) -> list[str]:
    """Begin and size, -1 of which is all that is left."""
    begins, sizes, shape = call.numbers(1, "begin"), call.numbers(2, "size"), call.tensor(0).shape
    if not len(begins) == len(sizes) == len(shape):
        raise call.refused("its begin and size do not fit its input; the file is damaged")
    taken = [
        (axis, begin, FARTHEST if size == -1 else begin + size)
        for axis, (begin, size) in enumerate(zip(begins, sizes))
        if begin or not (size == -1 or (shape[axis] == 1 and size == 1))
    ]
    if not taken:
        return [call.value(0)]
    axes, starts, ends = (list(column) for column in zip(*taken))
    lists = (call.whole(name, one) for name, one in (("begin", starts), ("end", ends), ("axes", axes)))
    return [call.emit("Slice", call.value(0), *lists)]


def gather(call: Call) -> list[str]:
    if call.option("BatchDims"):
        raise call.refused("it gathers row by row (batch_dims)")
    return [call.emit("Gather", call.value(0), call.value(1), axis=int(call.option("Axis")))]


def lookup(call: Call) -> list[str]:
    """EMBEDDING_LOOKUP: the ids come first."""
    return [call.emit("Gather", call.value(1), call.value(0), axis=0)]


def split(call: Call) -> list[str]:
    """SPLIT: the axis comes first."""
    axis, count = call.numbers(0, "axis")[0], len(call.operator.outputs)
    size = call.tensor(1).shape[axis]
    if not count or size % count:
        raise call.refused(f"it cuts {size} into {count}; the file is damaged")
    return call.emit_several("Split", count, call.value(1), call.whole("split", [size // count] * count), axis=axis)


def split_v(call: Call) -> list[str]:
    sizes, axis = call.numbers(1, "sizes"), call.numbers(2, "axis")[0]
    if -1 in sizes:
        sizes[sizes.index(-1)] = call.tensor(0).shape[axis] - sum(sizes) - 1
    return call.emit_several("Split", len(call.operator.outputs), call.value(0), call.whole("split", sizes), axis=axis)


def unpack(call: Call) -> list[str]:
    axis, count = int(call.option("Axis")), len(call.operator.outputs)
    return [
        call.emit("Gather", call.value(0), call.constant("place", np.array(place, np.int64)), axis=axis) for place in range(count)
    ]


def pack(call: Call) -> list[str]:
    """Values become an axis."""
    axis = int(call.option("Axis"))
    whole = call.made().type in ("INT32", "INT64")
    values = [_long(call, place) if whole else call.value(place) for place in range(len(call.operator.inputs))]
    parts = [call.emit("Unsqueeze", value, call.whole("axes", [axis])) for value in values]
    return [call.emit("Concat", *parts, axis=axis)]


def concatenation(call: Call) -> list[str]:
    values = [call.value(place) for place in range(len(call.operator.inputs))]
    return [call.activated(call.emit("Concat", *values, axis=int(call.option("Axis"))))]


def pad(call: Call) -> list[str]:
    """PAD and PADV2: [axes, 2]."""
    margins = call.array(1, "paddings")
    if margins.shape != (len(call.tensor(0).shape), 2):
        raise call.refused("its paddings do not fit its input; the file is damaged")
    inputs = [call.value(0), call.whole("pads", [int(one) for one in margins.T.ravel()])]
    if call.has(2):
        inputs.append(call.constant("value", np.ravel(call.array(2, "value"))[0]))
    return [call.emit("Pad", *inputs)]


def reverse(call: Call) -> list[str]:
    """REVERSE_V2: whole axes."""
    axes = call.numbers(1, "axes")
    lists = ([-1] * len(axes), [-FARTHEST] * len(axes), axes, [-1] * len(axes))
    return [call.emit("Slice", call.value(0), *(call.whole("reversed", one) for one in lists))]


def cast(call: Call) -> list[str]:
    kind = call.made().type
    if kind not in DTYPES:
        raise call.refused(f"it makes numbers of the type {kind or 'unknown'}")
    return [call.emit("Cast", call.value(0), to=helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[kind])))]


def shape(call: Call) -> list[str]:
    return [call.emit("Shape", call.value(0))]


def fill(call: Call) -> list[str]:
    """One number, of the shape that comes first."""
    number = call.array(1, "value")
    return [call.emit("Expand", call.constant("value", number.reshape(())), _long(call, 0))]


def broadcast(call: Call) -> list[str]:
    return [call.emit("Expand", call.value(0), _long(call, 1))]


def tile(call: Call) -> list[str]:
    return [call.emit("Tile", call.value(0), _long(call, 1))]


def zeros_like(call: Call) -> list[str]:
    zero = np.zeros((), DTYPES.get(call.tensor(0).type, np.float32))
    return [call.emit("Expand", call.constant("zero", zero), call.emit("Shape", call.value(0)))]


def _long(call: Call, place: int) -> str:
    return call.emit("Cast", call.value(place), to=TensorProto.INT64)
