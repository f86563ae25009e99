"""Which turns of the event loop did nothing beside: those that took hardly longer than the quickest lately, on whatever machine.

Pure: knows no loop and no clock.
"""

from __future__ import annotations

from typing import Final

_ALIKE: Final = 3.0  # times the quickest
_FORGETTING: Final = 0.001  # how much slower the quickest is taken to be with each turn: machines are throttled


class EmptyTurns:
    """Told of each turn while somebody watches the loop."""

    def __init__(self) -> None:
        self._quickest_seconds = float("inf")
        self.since_busy = 0  # empty turns, one after the other

    def turn(self, seconds: float) -> None:
        self._quickest_seconds = min(seconds, self._quickest_seconds * (1.0 + _FORGETTING))
        self.since_busy = self.since_busy + 1 if seconds <= _ALIKE * self._quickest_seconds else 0

    def interrupted(self) -> None:
        """Something was done in this turn."""
        self.since_busy = 0
