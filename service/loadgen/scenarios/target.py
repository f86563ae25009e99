"""What latency a rate must keep, and which rate to try next. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellserve.service.errors import InvalidInput

_FORM = re.compile(r"\s*(?:p(?P<percent>\d+(?:\.\d+)?)|(?P<max>max))\s*<=?\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>us|µs|ms|s)\s*")
_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
CLOSE_ENOUGH = 1.05  # the highest rate that meets a target is known to this factor
_FURTHEST = 2.0**12  # above the rate of the scenario
_FEWEST_REQUESTS = 20


@dataclass(frozen=True, slots=True)
class Target:
    """share: of the latencies, 0 … 1, that must stay below `seconds`; 1 is the slowest."""

    text: str
    share: float
    seconds: float

    @property
    def fewest_requests(self) -> int:
        """With fewer, the slowest alone would decide."""
        beyond = round(1 / (1 - self.share)) if self.share < 1 else 0
        return max(_FEWEST_REQUESTS, beyond)

    def reached(self, latencies_seconds: Sequence[float]) -> float:
        """What was measured of it: the smallest latency that such a share does not exceed. At least one latency."""
        ascending = sorted(latencies_seconds)
        return ascending[max(0, math.ceil(len(ascending) * self.share) - 1)]


def parse(text: str) -> Target:
    """`p99<50ms`, `p99.9<1s`, `max<200ms`. Raises InvalidInput."""
    form = _FORM.fullmatch(text)
    share = 1.0 if form is None or form["max"] else float(form["percent"]) / 100
    if form is None or not 0 < share <= 1 or not float(form["number"]):
        raise InvalidInput(f"{text!r} is no target of latency; p99<50ms, p99.9<1s or max<200ms was expected")
    return Target("".join(text.split()), share, float(form["number"]) * _UNITS[form["unit"]])


def next_scale(met: Mapping[float, bool], lowest: float) -> float | None:
    """The scale of the scenario's rates to try next, after those tried so far; None: it is known, or out of reach.

    lowest: below which a run has too few requests to tell.

    A scale that failed bounds the search, even if a higher one once met the target: what holds only sometimes does not hold.
    """
    if not met:
        return max(1.0, lowest)
    failed = min((scale for scale, good in met.items() if not good), default=math.inf)
    held = best_scale(met)
    if held is None:
        return max(lowest, failed / 2) if failed > lowest else None
    if failed == math.inf:
        return held * 2 if held < _FURTHEST else None
    return math.sqrt(held * failed) if failed / held > CLOSE_ENOUGH else None


def best_scale(met: Mapping[float, bool]) -> float | None:
    """The highest that met the target below every one that did not; None: none did."""
    failed = min((scale for scale, good in met.items() if not good), default=math.inf)
    return max((scale for scale, good in met.items() if good and scale < failed), default=None)
