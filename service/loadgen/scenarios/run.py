"""One run of a scenario made into a record: figures, time line, swaps, the server's own view. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cellserve.service.loadgen.generator_load import GeneratorLoad
from cellserve.service.loadgen.outcomes import Outcome
from cellserve.service.loadgen.scenarios.server_watch import Moment
from cellserve.service.loadgen.scenarios.target import Target
from cellserve.service.loadgen.statistics import Summary, summarize

PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0)
_MOST_SLICES = 120


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of the time line; requests stand where they were due. Seconds from the start; latencies None: nothing answered."""

    from_seconds: float
    due_per_second: float
    answered_per_second: float
    p50_seconds: float | None
    p99_seconds: float | None
    queue_seconds: float | None  # means
    compute_seconds: float | None
    wrong: int
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Swap:
    """Another version began to answer."""

    seconds: float
    answered_by: str


@dataclass(frozen=True, slots=True)
class Run:
    """label: the implementation of a sweep, else empty. scale: of the scenario's rates.

    complaints: why the generator was the limit.

    percentiles: for each of PERCENTS. met: the target, where one is searched for. server: its seconds are from the start.
    """

    label: str
    scale: float
    summary: Summary
    percentiles_seconds: tuple[float, ...]
    traffic: dict[str, Summary]
    slices: tuple[Slice, ...]
    swaps: tuple[Swap, ...]
    server: tuple[Moment, ...]
    server_looks_failed: int
    generator: tuple[GeneratorLoad, ...]
    complaints: tuple[str, ...]
    met: bool | None = None

    @property
    def clean(self) -> bool:
        return self.summary.clean


def record(
    label: str,
    scale: float,
    start_seconds: float,
    outcomes: Sequence[Outcome],
    generator: Sequence[GeneratorLoad],
    server: Sequence[Moment],
    server_looks_failed: int = 0,
    target: Target | None = None,
) -> Run:
    """The target is met if nothing was refused or wrong, latencies are as wished, and the generator kept up."""
    by_traffic: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_traffic[outcome.traffic].append(outcome)
    latencies = sorted(outcome.latency_seconds for outcome in outcomes if outcome.error is None)
    summary = summarize(outcomes)
    p99 = summary.latencies[0].p99_seconds if summary.latencies else math.inf
    told = [(number, each.complaint(p99)) for number, each in enumerate(generator, start=1)]
    complaints = tuple(f"process {number}: {words}" for number, words in told if words is not None)
    return Run(
        label,
        scale,
        summary,
        tuple(_percentile(latencies, percent) for percent in PERCENTS) if latencies else (),
        {name: summarize(those) for name, those in by_traffic.items()},
        _slices(outcomes, start_seconds),
        _swaps(outcomes, start_seconds),
        tuple(dataclasses.replace(each, seconds=each.seconds - start_seconds) for each in server),
        server_looks_failed,
        tuple(generator),
        complaints,
        None if target is None else summary.clean and not complaints and target.reached(latencies) <= target.seconds,
    )


def _slices(outcomes: Sequence[Outcome], start: float) -> tuple[Slice, ...]:
    end = max((outcome.due_seconds for outcome in outcomes), default=start) - start
    width = max(0.1, math.ceil(10 * end / _MOST_SLICES) / 10)
    pieces: dict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        pieces[max(0, int((outcome.due_seconds - start) / width))].append(outcome)
    return tuple(_slice(number * width, width, pieces[number]) for number in range(max(pieces, default=-1) + 1))


def _slice(begin: float, width: float, outcomes: Sequence[Outcome]) -> Slice:
    answered = [outcome for outcome in outcomes if outcome.error is None]
    latencies = sorted(outcome.latency_seconds for outcome in answered)
    return Slice(
        begin,
        len(outcomes) / width,
        len(answered) / width,
        _percentile(latencies, 50) if latencies else None,
        _percentile(latencies, 99) if latencies else None,
        sum(outcome.queue_seconds for outcome in answered) / len(answered) if answered else None,
        sum(outcome.compute_seconds for outcome in answered) / len(answered) if answered else None,
        sum(outcome.verdict.value == "wrong" for outcome in answered),
        dict(Counter(outcome.error for outcome in outcomes if outcome.error is not None)),
    )


def _swaps(outcomes: Sequence[Outcome], start: float) -> tuple[Swap, ...]:
    """The first answer of each version but the first of its model and traffic."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    swaps: list[Swap] = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.done_seconds):
        if outcome.error is not None:
            continue
        version = outcome.answered_by.partition(" ")[0]
        known = seen[outcome.traffic, version.partition("/")[0]]
        if known and version not in known and version not in {swap.answered_by for swap in swaps}:
            swaps.append(Swap(outcome.done_seconds - start, version))
        known.add(version)
    return tuple(swaps)


def _percentile(ascending: Sequence[float], percent: float) -> float:
    """Nearest rank: a latency that was measured."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]
