"""How many rows end together: a table over known laws of cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.scheduling.chunk_shape import rows_that_end

WIDE = (1e-6, 1e-4, 1e-4)  # rows are nearly free
NARROW = (1e-4, 1e-6, 1e-6)  # rows cost all there is


def taught(law: tuple[float, float, float], ragged_factor: float = 1.0) -> IterationCosts:
    a, b, c = law
    costs = IterationCosts()
    for _ in range(30):
        for rows, steps in ((1, 1), (1, 10), (8, 100), (64, 1), (64, 10), (64, 100)):
            costs.observe(rows, steps, (a * rows + b) * steps + c)
            costs.observe(rows, steps, ragged_factor * ((a * rows + b) * steps + c), ragged=True)
    return costs


@pytest.mark.parametrize(
    ("remaining", "seconds", "law", "ragged_factor", "expected"),
    [
        ([1000], 0.002, WIDE, 1.0, 0),  # it cannot end
        ([8], 0.002, WIDE, 1.0, 1),
        ([8, 8, 8, 8], 0.002, WIDE, 1.0, 4),
        ([8, 8, 8, 900], 0.002, WIDE, 1.0, 3),  # the half, and its equals
        ([4] * 8, 0.0017, NARROW, 1.0, 4),  # more do not fit
        ([8] * 32, 0.002, WIDE, 1.0, 32),
        ([8] * 4 + [9] * 4, 0.002, WIDE, 1.0, 8),
        ([8] * 4 + [9] * 4, 0.002, WIDE, 4.0, 4),  # ragged ends are dear
    ],
)
def test_rows_that_end(
    remaining: list[int], seconds: float, law: tuple[float, float, float], ragged_factor: float, expected: int
) -> None:
    assert rows_that_end(remaining, seconds, taught(law, ragged_factor)) == expected


@given(st.lists(st.integers(1, 300), min_size=1, max_size=64), st.floats(0.0005, 0.05), st.floats(1.0, 4.0))
def test_those_that_end_fit_the_time(remaining: list[int], seconds: float, ragged_factor: float) -> None:
    remaining = sorted(remaining)
    costs = taught(WIDE, ragged_factor)
    rows = rows_that_end(remaining, seconds, costs)
    if rows:
        chosen = remaining[:rows]
        assert chosen[-1] <= costs.steps_within(seconds, rows, chosen[0] < chosen[-1])
