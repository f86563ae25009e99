"""How long an iteration may take where the next one is launched before it is collected. Pure: the clock is passed in."""

from __future__ import annotations

from cellserve.service.engine.scheduling.scheduler import Budget

_UNDER_WAY = 2  # iterations that a newcomer may find before its own


class OverlappedBudget:
    """Shares the time of one iteration among those that a newcomer waits for: it waits no longer than without the overlap."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def seconds(self, now_seconds: float) -> float:
        return self._budget.seconds(now_seconds) / _UNDER_WAY
