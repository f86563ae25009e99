"""How long the next chunk may take."""

from __future__ import annotations

import random

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


def test_where_most_stay_long_chunks_are_longer() -> None:
    budget = crowded()
    for _ in range(500):
        budget.ended(0.05)
    assert budget.seconds(0.050) == pytest.approx(0.005, rel=1e-3)
    for _ in range(500):
        budget.ended(1.0)
    assert budget.seconds(0.050) == MAX


def test_few_that_are_quick_do_not_shorten_chunks_and_most_do() -> None:
    budget = crowded()
    for number in range(500):
        budget.ended(0.003 if number % 10 < 3 else 0.08)
    assert budget.seconds(0.050) > 3 * JOIN
    for number in range(500):
        budget.ended(0.003 if number % 10 < 7 else 0.08)
    assert budget.seconds(0.050) == JOIN


def test_chunks_are_short_again_soon_after_a_crowd() -> None:
    budget = crowded()
    for _ in range(500):
        budget.ended(0.2)
    for _ in range(60):
        budget.ended(0.006)
    assert budget.seconds(0.050) == JOIN


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_tenth_of_the_median_stay(seed: int) -> None:
    """Whatever the stays are: here over two orders of magnitude."""
    draw = random.Random(seed)
    stays = [0.005 * 10 ** (1.5 * draw.random()) for _ in range(1000)]
    budget = ChunkBudget(1e-9, 1.0)
    for number in range(50):
        budget.arrived(1e-9 * number)
    for stay in stays:
        budget.ended(stay)
    stays.sort()
    assert stays[300] < 10 * budget.seconds(50e-9) < stays[700]


def crowded() -> ChunkBudget:
    """One arrives each millisecond."""
    budget = ChunkBudget(JOIN, MAX)
    for number in range(50):
        budget.arrived(0.001 * number)
    return budget
