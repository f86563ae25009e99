"""How long the next chunk may take, and where it is best cut."""

from __future__ import annotations

import pytest

from cellserve.service.engine.chunk_length import ChunkBudget, best_steps
from cellserve.service.engine.cost_model import CostModel

JOIN, MAX = 0.002, 0.010


def taught(a: float, b: float, c: float) -> CostModel:
    costs = CostModel()
    for _ in range(20):
        for rows in (1, 8, 64):
            for steps in (1, 10, 100):
                costs.observe(rows, steps, (a * rows + b) * steps + c)
    return costs


@pytest.mark.parametrize(
    ("arrivals", "now", "anyone_waiting", "expected"),
    [
        ([], 0.0, False, JOIN),
        ([0.0], 0.001, False, JOIN),
        ([0.0], 0.5, False, MAX),  # nobody came for long
        ([0.0], 0.5, True, JOIN),  # but somebody waits
        ([0.001 * i for i in range(50)], 0.050, False, JOIN),  # one a millisecond
        ([0.1 * i for i in range(50)], 4.901, False, MAX),  # one each 100 ms, the last just now
    ],
)
def test_budget(arrivals: list[float], now: float, anyone_waiting: bool, expected: float) -> None:
    budget = ChunkBudget(JOIN, MAX)
    for arrival in arrivals:
        budget.arrived(arrival)
    assert budget.seconds(now, anyone_waiting) == expected


def test_a_maximum_below_the_join_latency_is_the_join_latency() -> None:
    assert ChunkBudget(JOIN, JOIN / 2).max_chunk_seconds == JOIN


@pytest.mark.parametrize(
    ("remaining", "limit", "law", "expected"),
    [
        ([100, 100], 16, (1e-6, 1e-6, 1e-4), 16),  # nobody ends: all of the time
        ([3, 5], 16, (1e-9, 1e-9, 1e-3), 5),  # never longer than the longest
        ([1] * 31 + [100], 16, (1e-5, 1e-9, 1e-9), 1),  # running on would be nearly all padding
        ([1] + [100] * 31, 16, (1e-5, 1e-9, 1e-4), 16),  # one end is cheaper than one more call
        ([4, 4, 100, 100], 8, (0.0, 0.0, 1e-3), 8),  # a call costs the same at any length
    ],
)
def test_cut(remaining: list[int], limit: int, law: tuple[float, float, float], expected: int) -> None:
    assert best_steps(remaining, limit, taught(*law)) == expected


def test_without_measurements_the_limit_is_taken() -> None:
    assert best_steps([1, 50], 8, CostModel()) == 8
