"""Copies in host memory that keep the interpreter: NumPy's hand it over from 500 numbers on, and another thread takes it.

Taking it back costs a wait, as long as the other thread likes; the copies of a chunk are over before. Knows no batch, no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FEW_NUMBERS: Final = 500  # of fewer NumPy's own copy keeps the interpreter too, and is the fastest
_LONG_BYTES: Final = 1 << 18  # to copy more takes longer than others should wait


def bytes_of(source: Array) -> memoryview:
    """source: contiguous."""
    return source.data.cast("B") if source.size else memoryview(b"")


def write(target: Array, source: Array) -> None:
    """Copies `source` into `target`: of one shape and type, both contiguous."""
    if source.size < _FEW_NUMBERS or source.nbytes > _LONG_BYTES:
        target[...] = source
    else:
        bytes_of(target)[:] = bytes_of(source)


def copied(source: Array) -> Array:
    """source: contiguous."""
    if source.size < _FEW_NUMBERS:
        return source.copy()
    made = np.empty_like(source)
    write(made, source)
    return made


def side_by_side(rows: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """[B, T, F], or ids [B, T], of rows [T, F] or [T], zeros beyond the end of each; of one alone a view, where it can be."""
    parts = [_plain(row, dtype) for row in rows]
    if len(parts) == 1:
        return parts[0][np.newaxis]
    longest, shortest = max(map(len, parts)), min(map(len, parts))
    if shortest < longest:
        step_bytes = parts[0].nbytes // len(parts[0])  # where there is one step only, its stride may be anything
        beyond = memoryview(bytes((longest - shortest) * step_bytes))
        pieces = [piece for part in parts for piece in (part.data, beyond[: (longest - len(part)) * step_bytes])]
    else:
        pieces = [part.data for part in parts]
    return np.frombuffer(b"".join(pieces), dtype).reshape(len(parts), longest, *parts[0].shape[1:])


def _plain(row: Array, dtype: np.dtype[Any]) -> Array:
    """What may be read byte by byte; in all usual cases the row itself."""
    flags = row.flags
    if row.dtype == dtype and flags.c_contiguous and flags.aligned:
        return row
    return np.array(row, dtype, order="C")
