"""By how much predictions must be stretched to be kept nearly always, learnt from sequences that end.

Apart for lengths, and for the magnitude of what is predicted: who finds the worker nearly idle may take twice what was predicted
if others join it, and nobody who has a long queue ahead is that much later. Of a magnitude that has not been met it is believed
that predictions are wrong by as many seconds as those below it. Knows no queue.
"""

from __future__ import annotations

from math import frexp
from typing import Final

_KEPT: Final = 0.98  # of the predictions
_LEAST_STEADY: Final = 8  # sequences: the fewer are under way, the sooner their ends are believed
_LOWEST, _HIGHEST = 0.25, 4.0  # of a stretch: what lies beyond is chance


class Stretches:
    """Of one backlog. The worker's thread learns; any thread may ask."""

    def __init__(self) -> None:
        self._learnt: dict[
            int, dict[int, float]
        ] = {}  # by the octave of steps, then of predicted seconds; the latter never change

    def of(self, steps: int, predicted_seconds: float) -> float:
        """1 where nothing was learnt."""
        learnt = self._learnt.get(steps.bit_length())
        if learnt is None:
            return 1.0
        octave = frexp(predicted_seconds)[1]
        known = learnt.get(octave)
        if known is not None:
            return known
        nearest = max([met for met in learnt if met < octave], default=min(learnt))
        return _bounded(1.0 + (learnt[nearest] - 1.0) * 2.0 ** (nearest - octave))

    def learn(self, steps: int, predicted_seconds: float, seconds: float, alike: float) -> None:
        """A sequence took so long for which so much had been predicted, unstretched. alike: how many of its length are under way.

        A quantile by stochastic approximation (Robbins and Monro, 1951): up by much for each that was late, down by little for
        each that was not, by less the more like it are under way, since those were predicted before this was known.
        """
        before = self.of(steps, predicted_seconds)
        change = (_KEPT - 1.0 if seconds <= before * predicted_seconds else _KEPT) / (_LEAST_STEADY + alike)
        learnt = self._learnt.get(steps.bit_length(), {})
        self._learnt[steps.bit_length()] = learnt | {frexp(predicted_seconds)[1]: _bounded(before * (1.0 + change))}


def _bounded(stretch: float) -> float:
    return min(max(stretch, _LOWEST), _HIGHEST)
