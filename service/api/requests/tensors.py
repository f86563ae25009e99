"""Bytes on the wire to NumPy arrays. Views where the bytes allow it: the one copy is the engine's, into its batch.

Knows the element types and byte counts, not what a tensor means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.service.errors import InvalidInput

Array = NDArray[Any]

MAX_RANK: Final = 8
_MOST_ELEMENTS: Final = 2**60  # of 8 bytes: what NumPy counts, an empty array's other dimensions too

# Element types by the names that users write, each as it lies on the wire. BF16 has no NumPy type: its bits.
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "BOOL": np.dtype("u1"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP64": np.dtype("<f8"),
}
FLOATS: Final = ("FP32", "FP16", "BF16", "FP64")  # what is taken where FP32 is expected
INTEGERS: Final = ("INT64", "INT32")


def require_datatype(name: str, datatype: str, expected: Sequence[str], field: str) -> None:
    """Raises InvalidInput unless `datatype` is one of `expected`."""
    if datatype not in expected:
        raise InvalidInput(f"{name!r} has datatype {datatype[:16]!r}, expected {' or '.join(expected)}", field=field)


def from_bytes(name: str, datatype: str, shape: Sequence[int], data: bytes, field: str) -> Array:
    """A read-only view [*shape] of `data`; a converted copy only for FP16, BF16 and FP64 (float32, infinite beyond its range).

    BOOL gives bool. Raises InvalidInput: a negative dimension, a byte count that the shape contradicts, a BOOL beside 0 and 1.
    """
    dtype = DTYPES[datatype]
    shape = tuple(shape)
    elements = _elements(name, shape, field)
    if len(data) != elements * dtype.itemsize:
        raise InvalidInput(
            f"{name!r} has {len(data)} bytes, but {datatype} {list(shape)} needs {elements * dtype.itemsize}", field=field
        )
    array = np.frombuffer(data, dtype).reshape(shape)
    if datatype == "BOOL":
        if array.size and array.max() > 1:
            raise InvalidInput(f"{name!r} is BOOL, one byte per element, each 0 or 1; it holds {int(array.max())}", field=field)
        return array.view(np.bool_)
    if datatype == "BF16":
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return _as_float32(array) if datatype in FLOATS else array


def from_values(name: str, datatype: str, shape: Sequence[int], values: Iterable[Any], count: int, field: str) -> Array:
    """The array [*shape] of `count` typed values. Raises InvalidInput: a count that the shape contradicts."""
    elements = _elements(name, shape, field)
    if count != elements:
        raise InvalidInput(f"{name!r} has {count} typed values, but {datatype} {list(shape)} needs {elements}", field=field)
    dtype = np.dtype(np.bool_) if datatype == "BOOL" else DTYPES[datatype]
    array = np.fromiter(values, dtype, count).reshape(shape)
    return _as_float32(array) if datatype in FLOATS else array


def _as_float32(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(DTYPES["FP32"], copy=False)


def _elements(name: str, shape: Sequence[int], field: str) -> int:
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"{name!r} has {len(shape)} dimensions; {MAX_RANK} are the most taken", field=field)
    if min(shape, default=0) < 0:
        raise InvalidInput(f"{name!r} has shape {list(shape)}; no dimension may be negative", field=field)
    elements = math.prod(shape)
    if elements > _MOST_ELEMENTS or (elements == 0 and math.prod(filter(None, shape)) > _MOST_ELEMENTS):
        raise InvalidInput(f"{name!r} has shape {list(shape)}, larger than any array", field=field)
    return elements
