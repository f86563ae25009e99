"""The time of an iteration where two are under way."""

from __future__ import annotations

from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget
from cellserve.service.engine.scheduling.overlapped_budget import OverlappedBudget


def test_two_iterations_share_the_time_of_one() -> None:
    budget = ChunkBudget(0.002, 0.010)
    assert OverlappedBudget(budget).seconds(0.0) == 0.001
    budget.arrived(0.0)
    assert OverlappedBudget(budget).seconds(1000.0) == 0.005
