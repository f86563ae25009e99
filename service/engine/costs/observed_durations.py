"""What sequences have taken lately, by their length, and so what one more will take at the very least.

A bound must not extrapolate: from single steps nobody can tell what a hundred thousand of them take in one chunk, and whoever
could be served must not be refused. So it rests on sequences that were computed, whole or in part: whoever is longer takes at
least as long, whoever is shorter at least as long for each step. What is old says nothing: if it kept everybody out, nothing new
would be learnt. Knows no clock, no queue and no kernel.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_OCTAVES: Final = 64
_REACH: Final = 2  # times a length that was seen: so far its seconds per step are believed
_FORGETTING: Final = 1.05  # for each sequence of an octave: how much the lowest figure rises towards what is seen now
_ENOUGH: Final = 3  # sequences of an octave, or a first slow call would speak for all
_BELIEVED_SECONDS: Final = 1.0


class _Seen(NamedTuple):
    sequences: int
    steps: int
    seconds_per_step: float
    now_seconds: float


_NOTHING: Final = _Seen(0, 0, float("inf"), float("-inf"))


class ObservedDurations:
    """Of one implementation. One thread observes; any thread may ask."""

    def __init__(self) -> None:
        self._lowest = [_NOTHING] * _OCTAVES

    def observe(self, steps: int, seconds: float, now_seconds: float) -> None:
        """Of a sequence `steps` were computed, whose share of its iterations was `seconds`."""
        if steps == 0:
            return
        octave = steps.bit_length()
        sequences, _, lowest, _ = self._lowest[octave]
        self._lowest[octave] = _Seen(sequences + 1, steps, min(seconds / steps, _FORGETTING * lowest), now_seconds)

    def least_seconds(self, steps: int, now_seconds: float) -> float:
        """What a sequence of so many steps, of all passes, will take; 0 where too little is known."""
        oldest = now_seconds - _BELIEVED_SECONDS
        believed = [seen for seen in self._lowest if seen.sequences >= _ENOUGH and seen.now_seconds >= oldest]
        return max([min(steps, _REACH * seen.steps) * seen.seconds_per_step for seen in believed], default=0.0)
