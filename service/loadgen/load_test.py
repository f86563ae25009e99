"""One load test from plan to report: learns the right answers at rest, then sends, then counts. Knows no terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cellserve.service.loadgen import arrivals
from cellserve.service.loadgen.drivers import Asking, Progress, closed_loop, open_loop
from cellserve.service.loadgen.generator_load import GeneratorLoad, LoopWatch
from cellserve.service.loadgen.outcomes import Outcome
from cellserve.service.loadgen.samples import Sample
from cellserve.service.loadgen.statistics import Summary, summarize


@dataclass(frozen=True, slots=True)
class Plan:
    """rate_per_second: open loop at that mean rate; else closed loop with `concurrency` callers."""

    rate_per_second: float | None = None
    concurrency: int = 1
    requests: int | None = None
    duration_seconds: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    summary: Summary
    generator: GeneratorLoad
    complaint: str | None  # why the generator itself was the limit; None: it was not


async def learn(asking: Asking, samples: Sequence[Sample], progress: Progress) -> list[Sample]:
    """The samples with the answers that each gets alone, one request at a time, where none is expected yet.

    Raises ServiceError: the server refuses one of them even so.
    """
    learned = []
    for number, sample in enumerate(samples, start=1):
        if sample.expected is None:
            prediction = await asking.predict(sample)
            sample = dataclasses.replace(sample, expected=np.asarray(prediction.answer), version=prediction.version)
        learned.append(sample)
        progress(number / len(samples))
    return learned


async def run(plan: Plan, asking: Asking, samples: Sequence[Sample], progress: Progress) -> Report:
    """Every request that was due has an outcome in the report; a refusal is an outcome too."""
    rng = np.random.default_rng(plan.seed)
    async with LoopWatch() as watch:
        outcomes = await _drive(plan, asking, samples, rng, progress)
        generator = watch.load([outcome.send_lag_seconds for outcome in outcomes])
    summary = summarize(outcomes)
    complaint = generator.complaint(summary.latencies[0].p99_seconds) if summary.latencies else None
    return Report(summary, generator, complaint)


async def _drive(
    plan: Plan, asking: Asking, samples: Sequence[Sample], rng: np.random.Generator, progress: Progress
) -> list[Outcome]:
    if plan.rate_per_second is not None:
        due = arrivals.poisson(rng, plan.rate_per_second, requests=plan.requests, duration_seconds=plan.duration_seconds)
        return await open_loop(asking, samples, _choices(rng, len(samples)), due, progress)
    return await closed_loop(
        asking,
        samples,
        _choices(rng, len(samples)),
        plan.concurrency,
        progress,
        requests=plan.requests,
        duration_seconds=plan.duration_seconds,
    )


def _choices(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Sample after sample at random, drawn in blocks: drawing one by one costs as much as sending."""
    while True:
        yield from rng.integers(count, size=1024).tolist()
