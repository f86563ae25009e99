"""What was expected of a sequence when it was let in: what is learnt from its end is measured by it."""

from __future__ import annotations

from typing import Final, NamedTuple

MEANINGFUL_SECONDS: Final = 0.005  # shorter predictions say nothing about a queue


class Estimate(NamedTuple):
    """predicted_seconds: from its submission to its end, without the stretch; 0 where nothing had been measured.

    stretched_seconds: with it. work_seconds: of the worker, as its client's share was charged. turn_seconds: when its client's
    turn comes.
    """

    client: str = ""
    turn_seconds: float = float("-inf")
    work_seconds: float = 0.0
    predicted_seconds: float = 0.0
    stretched_seconds: float = 0.0

    def ratio(self, seconds: float) -> float | None:
        """What was taken, of what was predicted; None where that was too little to be told."""
        return seconds / self.stretched_seconds if self.stretched_seconds >= MEANINGFUL_SECONDS else None


NO_ESTIMATE = Estimate()
