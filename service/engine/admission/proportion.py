"""Whether short and long are served alike: of each length, the part of what came that was let in.

Where not all can be served, whoever is short fits into every gap, and whoever is long never would: so a length of which a larger
part is let in than of another gives way until that one has caught up. Knows no queue; the clock is passed in.
"""

from __future__ import annotations

from math import exp
from typing import Final

_MEMORY_SECONDS: Final = 1.0  # after which a sequence counts by 1/e
_MOMENT_SECONDS: Final = 0.01  # within which nothing is forgotten
_AHEAD: Final = 1.1  # times the part of another length that may be let in
_FEW: Final = 3.0  # sequences: fewer that came lay no claim
_FORGOTTEN: Final = 0.01


class Proportion:
    """Of one worker, by the octave of the length. Belongs to the submitting side."""

    def __init__(self) -> None:
        self._came: dict[int, float] = {}
        self._let_in: dict[int, float] = {}
        self._faded_seconds = float("-inf")

    def saw(self, steps: int, now_seconds: float, let_in: bool) -> None:
        """A sequence came that could have been done had nobody been ahead of it: others lay no claim."""
        self._fade(now_seconds)
        octave = steps.bit_length()
        self._came[octave] = self._came.get(octave, 0.0) + 1.0
        self._let_in[octave] = self._let_in.get(octave, 0.0) + (1.0 if let_in else 0.0)

    def fair(self, steps: int, now_seconds: float) -> bool:
        """Whether one more of this length may be let in."""
        self._fade(now_seconds)
        octave = steps.bit_length()
        part = self._let_in.get(octave, 0.0) / (self._came.get(octave, 0.0) + 1.0)
        return all(
            part <= _AHEAD * (self._let_in[other] + 0.5) / came
            for other, came in self._came.items()
            if other != octave and came >= _FEW
        )

    def _fade(self, now_seconds: float) -> None:
        passed = now_seconds - self._faded_seconds
        if passed < _MOMENT_SECONDS:
            return
        self._faded_seconds = now_seconds
        keep = exp(-passed / _MEMORY_SECONDS)
        self._came = {octave: keep * came for octave, came in self._came.items() if came > _FORGOTTEN}
        self._let_in = {octave: keep * self._let_in[octave] for octave in self._came}
