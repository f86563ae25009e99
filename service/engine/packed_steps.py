"""Time steps of several rows as one array, one row after the other, for a packed chunk. Knows no batch and no request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Array = npt.NDArray[Any]


def joined(rows: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """[N, F], or ids [N], of rows [T, F] or [T]; of a single one the row itself, a view of the request, where it can be."""
    parts = [_plain(row, dtype) for row in rows]
    if len(parts) == 1:
        return parts[0]
    return np.frombuffer(b"".join(cast("list[ReadableBuffer]", parts)), dtype).reshape(-1, *parts[0].shape[1:])


def _plain(row: Array, dtype: np.dtype[Any]) -> Array:
    """What may be read, or joined, byte by byte; in all usual cases the row itself."""
    flags = row.flags
    if row.dtype == dtype and flags.c_contiguous and flags.aligned:
        return row
    return np.array(row, dtype, order="C")
