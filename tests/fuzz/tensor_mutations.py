"""Ways to make the tensors and options of a cellserve.v1 message wrong, whichever message carries them. As in infer_requests."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb.cellserve_pb2 import BOOL, FLOAT32, INT64, Tensor
from tests.fuzz.infer_requests import INVALID, NOTHING, OK
from tests.fuzz.values import ANY_INTEGERS, IMPLEMENTATIONS, NOT_FINITE, STRANGE_SIZES

_ITEM_BYTES: Final = {FLOAT32: 4, INT64: 8, BOOL: 1}
_TYPES: Final = {"float32": FLOAT32, "int64": INT64, "bool": BOOL}


def tensor(array: np.ndarray) -> Tensor:
    return Tensor(dtype=_TYPES[array.dtype.name], shape=array.shape, data=array.tobytes())


def tensors(message: Any) -> list[Tensor]:
    """Those that are there; inputs even if they are not, in a message that may have them."""
    fields = message.DESCRIPTOR.fields_by_name
    found = [message.inputs] if "inputs" in fields else []
    found += message.state.values() if "state" in fields else ()
    return [*found, message.mask] if "mask" in fields and message.HasField("mask") else found


def are_sound(message: Any) -> bool:
    """Whether each agrees with itself: the mutations count on it."""
    return all(
        each.dtype in _ITEM_BYTES
        and min(each.shape, default=0) > 0
        and len(each.data) == _ITEM_BYTES[each.dtype] * math.prod(each.shape)
        for each in tensors(message)
    )


def dtype(draw: st.DrawFn, message: Any) -> frozenset[str]:
    chosen = draw(st.sampled_from(tensors(message)))
    before = chosen.dtype
    chosen.dtype = draw(st.sampled_from((*range(6), 6, 99, -1)).filter(lambda dtype: dtype != before))
    return INVALID


def shape(draw: st.DrawFn, message: Any) -> frozenset[str]:
    chosen = draw(st.sampled_from(tensors(message)))
    if draw(st.booleans()):
        chosen.shape.insert(draw(st.integers(0, len(chosen.shape))), draw(st.sampled_from((0, 1, -1))))
    else:
        axis = draw(st.integers(0, len(chosen.shape) - 1))
        before = chosen.shape[axis]
        chosen.shape[axis] = draw(STRANGE_SIZES.filter(lambda size: size != before))
    return INVALID


def data(draw: st.DrawFn, message: Any) -> frozenset[str]:
    chosen = draw(st.sampled_from(tensors(message)))
    chosen.data = chosen.data[: draw(st.integers(0, len(chosen.data) - 1))] if draw(st.booleans()) else chosen.data + b"\0"
    return INVALID


def value(draw: st.DrawFn, message: Any) -> frozenset[str]:
    chosen = message.inputs
    kind = np.float32 if chosen.dtype == FLOAT32 else np.int64
    array = np.frombuffer(chosen.data, kind).copy()
    strange = NOT_FINITE if kind is np.float32 else (-1, 2**62, -(2**63), 10**6)
    array[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(strange))
    chosen.data = array.tobytes()
    return INVALID | OK  # a masked step does not count


def mask(draw: st.DrawFn, message: Any) -> frozenset[str]:
    if not message.HasField("mask"):
        return NOTHING
    data = bytearray(message.mask.data)
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(2, 255))
    message.mask.data = bytes(data)
    return INVALID


def more_inputs(draw: st.DrawFn, message: Any) -> frozenset[str]:
    for _ in range(draw(st.sampled_from((1, 100)))):
        message.more_inputs.append(message.inputs)
    return INVALID


def no_inputs(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.ClearField("inputs")
    return INVALID


def implementation(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.implementation = draw(IMPLEMENTATIONS)
    return INVALID


def priority(draw: st.DrawFn, message: Any) -> frozenset[str]:
    message.priority = draw(ANY_INTEGERS)
    return OK
