"""What sequences have taken, by their length, and so what one more will take at the very least.

A bound must not extrapolate: from single steps nobody can tell what a hundred thousand of them take in one chunk, and whoever
could be served must not be refused. So it rests on sequences that were computed, whole or in part: whoever is longer takes at
least as long, whoever is shorter at least as long for each step. Knows no clock, no queue and no kernel.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_OCTAVES: Final = 64
_REACH: Final = 2  # times a length that was seen: so far its seconds per step are believed
_FORGETTING: Final = 1.05  # for each sequence of an octave: how much the lowest figure rises towards what is seen now


class _Seen(NamedTuple):
    steps: int
    seconds_per_step: float


class Experience:
    """Of one implementation. One thread observes; any thread may ask."""

    def __init__(self) -> None:
        self._lowest: list[_Seen | None] = [None] * _OCTAVES

    def observe(self, steps: int, seconds: float) -> None:
        """Of a sequence `steps` were computed, whose share of its iterations was `seconds`."""
        if steps == 0:
            return
        octave, per_step = steps.bit_length(), seconds / steps
        known = self._lowest[octave]
        if known is not None:
            per_step = min(per_step, _FORGETTING * known.seconds_per_step)
        self._lowest[octave] = _Seen(steps, per_step)

    def least_seconds(self, steps: int) -> float:
        """What a sequence of so many steps, of all passes, will take; 0 where nothing is known."""
        known = [seen for seen in self._lowest if seen is not None]
        return max([min(steps, _REACH * seen.steps) * seen.seconds_per_step for seen in known], default=0.0)
