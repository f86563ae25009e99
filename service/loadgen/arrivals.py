"""When the requests of an open loop are due, decided before the first is sent: so no answer can slow the questions. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def poisson(
    rng: np.random.Generator, rate_per_second: float, *, requests: int | None = None, duration_seconds: float | None = None
) -> NDArray[np.float64]:
    """Due times in seconds from the start, ascending, with exponential gaps of mean 1/rate.

    Ends after `requests`, or with the last one due within `duration_seconds`, whichever comes first; at least one is needed.
    """
    if requests is not None:
        due = np.cumsum(rng.exponential(1.0 / rate_per_second, size=requests))
        return due if duration_seconds is None else due[due <= duration_seconds]
    if duration_seconds is None:
        raise ValueError("a load test ends after a number of requests or after a time; neither was given")
    # A Poisson process on an interval is a Poisson count of uniform times.
    return np.sort(rng.uniform(0.0, duration_seconds, size=rng.poisson(rate_per_second * duration_seconds)))
