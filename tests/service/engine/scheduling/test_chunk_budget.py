"""How long the next chunk may take."""

from __future__ import annotations

import pytest

from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget

JOIN, MAX = 0.002, 0.010


@pytest.mark.parametrize(
    ("arrivals", "now", "expected"),
    [
        ([], 0.0, JOIN),
        ([0.0], 0.001, JOIN),
        ([0.0], 0.5, MAX),  # nobody came for long
        ([0.0], 0.05, 0.005),  # a tenth of the lull so far
        ([0.001 * i for i in range(50)], 0.050, JOIN),  # one a millisecond
        ([0.0, 10.0, 10.001], 10.001, JOIN),  # a lull just over
        ([0.1 * i for i in range(50)], 4.901, MAX),  # one each 100 ms, the last just now
    ],
)
def test_budget(arrivals: list[float], now: float, expected: float) -> None:
    budget = ChunkBudget(JOIN, MAX)
    for arrival in arrivals:
        budget.arrived(arrival)
    assert budget.seconds(now) == pytest.approx(expected, rel=1e-3)


def test_a_maximum_below_the_join_latency_is_the_join_latency() -> None:
    assert ChunkBudget(JOIN, JOIN / 2).max_chunk_seconds == JOIN


def test_where_even_the_quickest_take_long_chunks_are_longer() -> None:
    budget = crowded()
    for _ in range(500):
        budget.ended(0.05)
    assert budget.seconds(0.050) == pytest.approx(0.005, rel=1e-3)
    for _ in range(500):
        budget.ended(1.0)
    assert budget.seconds(0.050) == MAX


def test_one_that_was_quick_shortens_chunks_at_once_and_for_many() -> None:
    budget = crowded()
    for _ in range(500):
        budget.ended(0.2)
    budget.ended(0.008)
    assert budget.seconds(0.050) == JOIN
    for _ in range(3):
        budget.ended(0.2)
    assert budget.seconds(0.050) == JOIN


def crowded() -> ChunkBudget:
    """One arrives each millisecond."""
    budget = ChunkBudget(JOIN, MAX)
    for number in range(50):
        budget.arrived(0.001 * number)
    return budget
