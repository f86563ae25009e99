"""Outcomes made into figures. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cellserve.service.loadgen.outcomes import Outcome, Verdict

_CLASS_ENDS = (16, 64, 256, 1024)  # time steps, inclusive


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of the answered requests of one class of lengths."""

    lengths: str
    count: int
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    p999_seconds: float
    max_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """answered, and the figures made of it, leave out refusals; those stand in errors, by reason.

    seconds: from the first due time to the last answer. offered_per_second: how fast requests were due.
    latencies: of all answers first, then by class of lengths.
    """

    requests: int
    answered: int
    right: int
    wrong: int
    unchecked: int
    errors: dict[str, int]
    answered_by: dict[str, int]
    seconds: float
    offered_per_second: float
    sequences_per_second: float
    timesteps_per_second: float
    latencies: tuple[Latencies, ...]

    @property
    def clean(self) -> bool:
        """Nothing wrong, nothing refused, and something answered."""
        return self.answered > 0 and not self.wrong and not self.errors


def summarize(outcomes: Sequence[Outcome]) -> Summary:
    answered = [outcome for outcome in outcomes if outcome.error is None]
    first = min((outcome.due_seconds for outcome in outcomes), default=0.0)
    seconds = max((outcome.done_seconds for outcome in outcomes), default=0.0) - first
    offered_seconds = max((outcome.due_seconds for outcome in outcomes), default=0.0) - first
    verdicts = Counter(outcome.verdict for outcome in answered)
    return Summary(
        requests=len(outcomes),
        answered=len(answered),
        right=verdicts[Verdict.RIGHT],
        wrong=verdicts[Verdict.WRONG],
        unchecked=verdicts[Verdict.UNCHECKED],
        errors=dict(Counter(outcome.error for outcome in outcomes if outcome.error is not None).most_common()),
        answered_by=dict(Counter(outcome.answered_by for outcome in answered).most_common()),
        seconds=seconds,
        offered_per_second=_ratio(len(outcomes) - 1, offered_seconds),
        sequences_per_second=_ratio(len(answered), seconds),
        timesteps_per_second=_ratio(sum(outcome.steps for outcome in answered), seconds),
        latencies=_latencies(answered),
    )


def length_class(steps: int) -> str:
    """The name of the class: "1-16", "17-64", … "over 1024"."""
    start = 1
    for end in _CLASS_ENDS:
        if steps <= end:
            return f"{start}-{end}"
        start = end + 1
    return f"over {_CLASS_ENDS[-1]}"


def _latencies(answered: Sequence[Outcome]) -> tuple[Latencies, ...]:
    classes: dict[str, list[float]] = {"all": []}
    for outcome in sorted(answered, key=lambda outcome: outcome.steps):
        classes["all"].append(outcome.latency_seconds)
        classes.setdefault(length_class(outcome.steps), []).append(outcome.latency_seconds)
    return tuple(_percentiles(name, seconds) for name, seconds in classes.items() if seconds)


def _percentiles(name: str, seconds: list[float]) -> Latencies:
    """Each is a latency that was measured: the smallest one that so many do not exceed (nearest rank)."""
    ascending = sorted(seconds)
    p50, p90, p99, p999 = (ascending[math.ceil(len(ascending) * per_mille / 1000) - 1] for per_mille in (500, 900, 990, 999))
    return Latencies(name, len(ascending), p50, p90, p99, p999, ascending[-1])


def _ratio(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
