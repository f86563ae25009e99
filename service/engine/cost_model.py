"""What an iteration costs: seconds = (a·rows + b)·steps + c, learnt while serving, for one version under one implementation.

Least squares of the relative error, with coefficients that are never negative, over measurements that are forgotten
exponentially. A measurement can be late (another process had the core) but never early: one far above the prediction is
clipped, and one far below it says that the past was learnt from stalls, so the past is then mostly forgotten. Where the
measurements cannot tell the three terms apart (always the same shape) they share the time equally, which errs on the side of
short chunks for larger shapes.

On a busy machine a fit can be badly wrong all the same, so it does not decide alone. The pace of an iteration, seconds / steps,
scaled up to the rows at hand, is never less than what a step truly costs; the lowest of the recent ones bounds the chunk from
both sides. Knows no clock and no scheduling.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations
from typing import NamedTuple

FIRST_STEPS = 8  # chunk of the first iteration, before anything is known
_LARGEST_GROWTH = 4  # a chunk is at most this many times the longest recent one: extrapolation ends somewhere
_RECENT = 8  # iterations whose pace counts
_SLACK = 2.0  # how far, as a factor, the fit may stray from the best recent pace
_FORGETTING = 0.97
_TRUSTED_OBSERVATIONS = 5
_CLIP = 3.0  # times the prediction
_EARLY = 0.25  # times the prediction
_PRIOR = 0.01  # weight of equal shares against the measurements
_TERMS = (0, 1, 2)
_SUBSETS = tuple(subset for size in (3, 2, 1) for subset in combinations(_TERMS, size))


class _Pace(NamedTuple):
    rows: int
    steps: int
    seconds_per_step: float


class CostModel:
    """The online fit. One thread observes; any thread may read (the coefficients are replaced as one tuple)."""

    def __init__(self) -> None:
        self._coefficients = (0.0, 0.0, 0.0)
        self._moments = [[0.0] * 3 for _ in _TERMS]  # sum of x xᵀ, x = (rows·steps, steps, 1) / seconds
        self._targets = [0.0] * 3  # sum of x
        self._weight = 0.0  # of all measurements, the newest counting 1
        self._observations = 0
        self._recent: deque[_Pace] = deque(maxlen=_RECENT)

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """(a, b, c) in seconds; zeros before the first measurement."""
        return self._coefficients

    @property
    def trusted(self) -> bool:
        """Whether enough was measured to refuse somebody because of it."""
        return self._observations >= _TRUSTED_OBSERVATIONS

    def seconds(self, rows: int, steps: int) -> float:
        a, b, c = self._coefficients
        return (a * rows + b) * steps + c

    def steps_within(self, seconds: float, rows: int) -> int:
        """Most steps of `rows` rows that should take at most `seconds`; at least 1. Only for the thread that observes."""
        if self._observations == 0:
            return FIRST_STEPS
        a, b, c = self._coefficients
        paced = seconds / min([pace * rows / measured if rows > measured else pace for measured, _, pace in self._recent])
        largest = min(_SLACK * paced, _LARGEST_GROWTH * max([measured for _, measured, _ in self._recent]))
        per_step = a * rows + b
        left = seconds - c
        if left <= 0:
            fitted = 0.0
        else:
            fitted = left / per_step if per_step * largest > left else largest
        return max(1, int(min(max(fitted, paced / _SLACK), largest)))

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
        x = (rows * steps / seconds, steps / seconds, 1.0 / seconds)
        for i in _TERMS:
            self._targets[i] = keep * self._targets[i] + x[i]
            for j in _TERMS:
                self._moments[i][j] = keep * self._moments[i][j] + x[i] * x[j]
        self._weight = keep * self._weight + 1.0
        self._observations += 1
        self._coefficients = self._fit()

    def _fit(self) -> tuple[float, float, float]:
        """Of the sets of terms whose coefficients are all non-negative: all three, else the best fit."""
        scale = [self._moments[i][i] ** 0.5 for i in _TERMS]
        equal_share = [scale[i] * self._weight / (len(_TERMS) * self._targets[i]) for i in _TERMS]
        best: tuple[float, float, float] | None = None
        best_gain = -1.0
        for subset in _SUBSETS:
            moments = [
                [self._moments[i][j] / (scale[i] * scale[j]) + (_PRIOR if i == j else 0.0) for j in subset] for i in subset
            ]
            targets = [self._targets[i] / scale[i] + _PRIOR * equal_share[i] for i in subset]
            solution = _solve(moments, targets)
            if min(solution) < 0:
                continue
            gain = sum(value * target for value, target in zip(solution, targets))  # how much of the squared error it explains
            if gain > best_gain:
                values = [0.0, 0.0, 0.0]
                for term, value in zip(subset, solution):
                    values[term] = value / scale[term]
                best, best_gain = (values[0], values[1], values[2]), gain
            if len(subset) == len(_TERMS):
                break
        return best if best is not None else self._coefficients


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination of a small positive definite system, in place; the prior keeps every pivot positive."""
    size = len(right)
    for column in range(size):
        pivot = matrix[column][column]
        for row in range(column + 1, size):
            factor = matrix[row][column] / pivot
            for k in range(column, size):
                matrix[row][k] -= factor * matrix[column][k]
            right[row] -= factor * right[column]
    solution = [0.0] * size
    for row in reversed(range(size)):
        known = sum(matrix[row][k] * solution[k] for k in range(row + 1, size))
        solution[row] = (right[row] - known) / matrix[row][row]
    return solution
