"""NumPy arrays to and from the wire's Tensor. Knows no sequences, no models and no calls.

float32 in, unless ids, or half of it where the caller accepts the rounding; half-precision tensors that a server may answer
with are widened to float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellserve.service.errors import InvalidInput
from cellserve.service.pb import cellserve_pb2 as pb

Array = NDArray[Any]
WireDtype = Literal["float32", "float16", "bfloat16"]  # of features on their way to the server

_WIRE_DTYPES: dict[int, np.dtype[Any]] = {
    pb.FLOAT32: np.dtype("<f4"),
    pb.FLOAT16: np.dtype("<f2"),
    pb.INT32: np.dtype("<i4"),
    pb.INT64: np.dtype("<i8"),
    pb.BOOL: np.dtype(np.bool_),
}
_HALVES: dict[str, pb.DataType] = {"float16": pb.FLOAT16, "bfloat16": pb.BFLOAT16}
_DATA_TYPES: dict[np.dtype[Any], pb.DataType] = {
    np.dtype("<f4"): pb.FLOAT32,
    np.dtype("<i4"): pb.INT32,
    np.dtype("<i8"): pb.INT64,
    np.dtype(np.bool_): pb.BOOL,
}


def wire_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which arrays of `dtype` travel: bool, int32 or int64 where it fits, else float32."""
    if dtype.kind == "b":
        return np.dtype(np.bool_)
    if dtype.kind in "iu":
        return np.dtype("<i4") if np.can_cast(dtype, np.int32) else np.dtype("<i8")
    return np.dtype("<f4")


def as_wire(array: Array) -> Array:
    """`array` as it travels: little-endian, contiguous; the same memory where it already is.

    A float64 beyond float32's range becomes infinite, which the server refuses by name.
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=wire_dtype(array.dtype))


def to_wire(array: Array) -> pb.Tensor:
    """One array, any shape."""
    return concatenated([as_wire(array)])


def concatenated(parts: Sequence[Array], floats: WireDtype = "float32") -> pb.Tensor:
    """Arrays from `as_wire`, of one dtype and equal but for the first axis, one after the other; copied once.

    floats: the form of float32 arrays on the wire, rounded to nearest even. Raises InvalidInput: a value is too large for it.
    """
    first = parts[0]
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:]) if first.ndim else ()
    dtype = _DATA_TYPES[first.dtype]
    if dtype == pb.FLOAT32 and floats != "float32":
        dtype, parts = _HALVES[floats], [_halved(part, floats) for part in parts]
    return pb.Tensor(dtype=dtype, shape=shape, data=b"".join([part.data for part in parts]))


def _halved(array: Array, floats: WireDtype) -> Array:
    """float32 as float16, or as the bits of bfloat16. NaN and infinities stay what they are, for the server to name."""
    with np.errstate(over="ignore"):
        if floats == "float16":
            halves = array.astype("<f2")
            widened = halves
        else:
            bits = array.view("<u4")
            rounded = np.where(np.isnan(array), bits, bits + (0x7FFF + ((bits >> 16) & 1)))
            halves = (rounded >> 16).astype("<u2")
            widened = (halves.astype("<u4") << 16).view("<f4")
    lost = np.isinf(widened) & np.isfinite(array)
    if lost.any():
        raise InvalidInput(f"{array[lost][0]} is too large for {floats} on the wire; use float32", field="inputs")
    return halves


def from_wire(tensor: pb.Tensor) -> Array:
    """A writable array of the tensor's shape.

    Raises ValueError: the bytes do not fit shape and dtype, or the dtype is unknown.
    """
    shape = tuple(tensor.shape)
    if any(dimension < 0 for dimension in shape):  # NumPy would work one out
        raise ValueError(f"tensor of negative shape {list(shape)}")
    if tensor.dtype == pb.BFLOAT16:
        halves = np.frombuffer(tensor.data, dtype="<u2").astype(np.uint32)
        return (halves << np.uint32(16)).view(np.float32).reshape(shape)
    dtype = _WIRE_DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"tensor of unknown element type {tensor.dtype}")
    flat = np.frombuffer(tensor.data, dtype=dtype)
    return flat.astype(np.float32 if tensor.dtype == pb.FLOAT16 else dtype).reshape(shape)
