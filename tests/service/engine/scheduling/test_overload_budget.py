"""How long an iteration may take while requests are refused."""

from __future__ import annotations

from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget
from cellserve.service.engine.scheduling.overload_budget import OverloadBudget


def test_longer_after_a_refusal_within_bounds_and_not_for_long() -> None:
    refused = [-100.0]
    budget = ChunkBudget(0.002, 0.010)
    overloaded = OverloadBudget(budget, lambda: refused[0])
    assert overloaded.seconds(1.0) == 0.002
    refused[0] = 1.0
    assert overloaded.seconds(1.1) == 0.006
    assert OverloadBudget(ChunkBudget(0.005, 0.010), lambda: 1.0).seconds(1.1) == 0.010
    assert overloaded.seconds(2.0) == 0.002
