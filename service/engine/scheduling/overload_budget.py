"""How long an iteration may take while requests are refused.

Whoever comes then waits anyway, and longer iterations cost less for each step. Pure: the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget

_LONGER: Final = 3.0
_PRESSED_SECONDS: Final = 0.5  # after a refusal


class OverloadBudget:
    """refused_seconds: when somebody was last refused, on the clock of `seconds`."""

    def __init__(self, budget: ChunkBudget, refused_seconds: Callable[[], float]) -> None:
        self._budget = budget
        self._refused_seconds = refused_seconds

    def seconds(self, now_seconds: float) -> float:
        usual = self._budget.seconds(now_seconds)
        if now_seconds > self._refused_seconds() + _PRESSED_SECONDS:
            return usual
        return max(usual, min(_LONGER * usual, self._budget.max_chunk_seconds))
