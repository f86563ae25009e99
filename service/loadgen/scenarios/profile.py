"""When the requests of a kind of traffic are due, decided before the first is sent. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cellserve.service.loadgen.scenarios.scenario import Bursts, Poisson, Ramp, Steady

Profiled = Poisson | Steady | Bursts | Ramp


def due_seconds(rng: np.random.Generator, arrivals: Profiled, duration_seconds: float, scale: float) -> NDArray[np.float64]:
    """From the start, ascending, below `duration_seconds`. scale: multiplies every rate."""
    if isinstance(arrivals, Steady):
        rate = arrivals.rate_per_second * scale
        return np.arange(math.ceil(duration_seconds * rate)) / rate
    times, rates = _corners(arrivals, duration_seconds)
    return _poisson(rng, np.array(times), np.array(rates) * scale)


def _corners(arrivals: Poisson | Bursts | Ramp, duration_seconds: float) -> tuple[list[float], list[float]]:
    """The rate over time as straight lines: where they meet, and how high."""
    match arrivals:
        case Poisson():
            return [0.0, duration_seconds], [arrivals.rate_per_second] * 2
        case Ramp():
            return [0.0, duration_seconds], [arrivals.from_per_second, arrivals.to_per_second]
        case Bursts():
            times: list[float] = []
            rates: list[float] = []
            for number in range(math.ceil(duration_seconds / arrivals.every_seconds)):
                begin = number * arrivals.every_seconds
                middle = min(begin + arrivals.burst_seconds, duration_seconds)
                end = min(begin + arrivals.every_seconds, duration_seconds)
                times += [begin, middle, middle, end]
                rates += [arrivals.burst_per_second] * 2 + [arrivals.rate_per_second] * 2
            return times, rates


def _poisson(rng: np.random.Generator, times: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Poisson process whose rate is that line: uniform draws of its expected count, each taken back to its time."""
    counts = np.concatenate([[0.0], np.cumsum(np.diff(times) * (rates[1:] + rates[:-1]) / 2)])
    drawn = np.sort(rng.uniform(0.0, counts[-1], size=rng.poisson(counts[-1])))
    piece = np.searchsorted(counts, drawn, side="right") - 1
    left = drawn - counts[piece]
    with np.errstate(invalid="ignore", divide="ignore"):  # no draw lies in a piece without length; its slope is not used
        slope = np.nan_to_num(np.diff(rates) / np.diff(times), nan=0.0, posinf=0.0, neginf=0.0)[piece]
    due: NDArray[np.float64] = times[piece] + 2 * left / (rates[piece] + np.sqrt(rates[piece] ** 2 + 2 * slope * left))
    return due
