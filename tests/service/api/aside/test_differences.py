"""How far answers lie apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellserve.service.api.aside.differences import largest_difference

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.5, 1.75], 0.5),
        ([1.0, NAN], [1.0, NAN], 0.0),
        ([1.0, NAN], [1.0, 2.0], INF),
        ([INF, 1.0], [INF, 1.0], 0.0),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([INF, 1.0], [0.0, 1.0], INF),
        ([1.0], [1.0, 2.0], INF),
        ([], [], 0.0),
    ],
)
def test_the_largest_difference_of_any_number(one: list[float], other: list[float], apart: float) -> None:
    rows = [(np.zeros((2, 1), np.float32), np.float32(one)), (np.zeros((3, 1), np.float32), np.float32([0.0]))]
    others = [(np.zeros((2, 1), np.float32), np.float32(other)), (np.zeros((3, 1), np.float32), np.float32([0.0]))]
    assert largest_difference(rows, others) == apart


def test_of_nothing_nothing_differs() -> None:
    assert largest_difference([], []) == 0.0
