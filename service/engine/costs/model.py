"""What an iteration costs, learnt while serving, for one version under one implementation.

seconds = (a·rows + b)·steps + d·rows + c: a and b are the kernel's, d is what each row costs however far it goes (its state, its
bookkeeping), c is the call's. Least squares of the relative error, with coefficients that are never negative, over measurements
that are forgotten exponentially. Each measurement lets the coefficients take a few steps towards the best fit, one after the
other, from where they were; so what recent measurements cannot tell apart (always the same shape) stays as it was learnt before.
At first all terms share the time equally, which errs on the side of short chunks for larger shapes.

A measurement can be late (another process had the core) but never early: one far above the prediction is clipped, and one far
below it says that the past was learnt from stalls, so the past is then mostly forgotten.

On a busy machine a fit can be badly wrong all the same, so it does not decide alone. The pace of an iteration, seconds / steps,
scaled up to the rows at hand, is never less than what a step truly costs; the lowest of the recent ones bounds the chunk from
both sides. Knows no clock and no scheduling.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from operator import mul
from typing import NamedTuple

FIRST_STEPS = 8  # chunk of the first iteration, before anything is known
_LARGEST_GROWTH = 4  # a chunk is at most this many times the longest recent one: extrapolation ends somewhere
_RECENT = 8  # iterations whose pace counts
_SLACK = 2.0  # how far, as a factor, the fit may stray from the best recent pace
_FORGETTING = 0.97
_TRUSTED_OBSERVATIONS = 5
_CLIP = 3.0  # times the prediction
_EARLY = 0.25  # times the prediction
_TERMS = 4
_SWEEPS = 2  # over all coefficients, for each measurement
_HARDLY = 1 / 6  # of what it costs at least
_FEW_ROWS = 8  # whatever the fit says: few measurements tell b from c


class _Pace(NamedTuple):
    rows: int
    steps: int
    seconds_per_step: float


class CostModel:
    """The online fit. One thread observes; any thread may read (the coefficients are replaced as one tuple)."""

    def __init__(self) -> None:
        self._coefficients = (0.0, 0.0, 0.0, 0.0)
        self._moments = [[0.0] * _TERMS for _ in range(_TERMS)]  # sum of x xᵀ, x = (rows·steps, steps, rows, 1) / seconds
        self._targets = [0.0] * _TERMS  # sum of x
        self._observations = 0
        self._recent: deque[_Pace] = deque(maxlen=_RECENT)

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """(a, b, d, c) in seconds; zeros before the first measurement."""
        return self._coefficients

    @property
    def trusted(self) -> bool:
        """Whether enough was measured to rely on it."""
        return self._observations >= _TRUSTED_OBSERVATIONS

    def seconds(self, rows: int, steps: int) -> float:
        a, b, d, c = self._coefficients
        return (a * rows + b) * steps + d * rows + c

    def steps_within(self, seconds: float, rows: int) -> int:
        """Most steps of `rows` rows that should take at most `seconds`; at least 1. Only for the thread that observes."""
        if self._observations == 0:
            return FIRST_STEPS
        a, b, d, c = self._coefficients
        paced = seconds / min([pace * rows / measured if rows > measured else pace for measured, _, pace in self._recent])
        largest = min(_SLACK * paced, _LARGEST_GROWTH * max([measured for _, measured, _ in self._recent]))
        per_step = a * rows + b
        left = seconds - d * rows - c
        if left <= 0:
            fitted = 0.0
        else:
            fitted = left / per_step if per_step * largest > left else largest
        return max(1, int(min(max(fitted, paced / _SLACK), largest)))

    def rows_within(self, seconds: float, steps: int, most: int) -> int:
        """How many rows, of at most `most`, should take at most `seconds` for so many steps; perhaps none."""
        a, b, d, c = self._coefficients
        per_row = a * steps + d
        left = seconds - b * steps - c
        if left < 0:
            return 0
        return int(left / per_row) if per_row * most > left else most

    def enough_rows(self, most: int) -> int:
        """From how many rows on, of at most `most`, more of them make a row and step hardly cheaper."""
        a, b, _, _ = self._coefficients
        return most if a * most * _HARDLY <= b else min(most, max(_FEW_ROWS, ceil(b / (a * _HARDLY))))

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        """Learns from one iteration. A time of zero (a clock too coarse) counts as one nanosecond."""
        seconds = max(seconds, 1e-9)
        self._recent.append(_Pace(rows, steps, seconds / steps))
        keep = _FORGETTING
        if self._observations:
            predicted = self.seconds(rows, steps)
            if self.trusted:
                seconds = min(seconds, _CLIP * predicted)
            if seconds < _EARLY * predicted:
                keep = _EARLY * _EARLY
        x = (rows * steps / seconds, steps / seconds, rows / seconds, 1.0 / seconds)
        self._targets = [keep * target + one for target, one in zip(self._targets, x)]
        self._moments = [[keep * moment + one * other for moment, other in zip(row, x)] for row, one in zip(self._moments, x)]
        values = list(self._coefficients) if self._observations else [1.0 / (_TERMS * one) for one in x]
        self._coefficients = self._improved(values)
        self._observations += 1

    def _improved(self, values: list[float]) -> tuple[float, float, float, float]:
        """Each in turn becomes the best there is, none negative, while the others stay."""
        for _ in range(_SWEEPS):
            for i, (row, target) in enumerate(zip(self._moments, self._targets)):
                values[i] = max(0.0, values[i] + (target - sum(map(mul, row, values))) / row[i])
        a, b, d, c = values
        return a, b, d, c
