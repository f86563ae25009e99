"""How far the answers of two versions lie apart. Pure: arrays in, one number out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Outputs = Sequence[NDArray[np.generic]]  # of one row: [units] or [T, units] of each output


def largest_difference(answers: Sequence[Outputs], others: Sequence[Outputs]) -> float:
    """The largest |a − b| of any number of any output of any row; infinite where one alone is finite, or shapes are others."""
    pairs = (pair for one, other in zip(answers, others, strict=True) for pair in zip(one, other, strict=True))
    return max((_apart(a, b) for a, b in pairs), default=0.0)


def _apart(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    if one.shape != other.shape:
        return math.inf
    if not one.size:
        return 0.0
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    largest = float(apart.max())
    return math.inf if math.isnan(largest) else largest
