"""Sends the requests of a load test, one way or the other, and notes what each came to.

Open loop: requests leave when they are due, whether or not earlier ones are answered. Closed loop: each of so many callers
sends its next request when its last one is answered. Knows no statistics.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cellserve.service.client import Prediction
from cellserve.service.errors import ServiceError
from cellserve.service.loadgen.outcomes import Outcome
from cellserve.service.loadgen.samples import Array, Sample

Progress = Callable[[float], None]  # share of the test that is over, 0 … 1


class Answering(Protocol):
    """What a load test needs of a client: AsyncClient, or a fake."""

    async def run(self, model: str, x: Array, *, implementation: str, timeout_seconds: float) -> Prediction: ...


@dataclass(frozen=True, slots=True)
class Asking:
    """How one sample is asked and judged, the same for every request of a test."""

    client: Answering
    model: str
    implementation: str = ""
    timeout_seconds: float = 60.0
    tolerance: float = 1e-5
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def ask(self, sample: Sample, due_seconds: float | None = None) -> Outcome:
        """due_seconds: on the clock; None: now."""
        return await self.judged(sample, lambda: self.predict(sample), due_seconds)

    async def judged(
        self, sample: Sample, question: Callable[[], Awaitable[Prediction]], due_seconds: float | None = None
    ) -> Outcome:
        """What `question` comes to, which asks for the answer of `sample`."""
        sent = self.clock()
        due = sent if due_seconds is None else due_seconds
        try:
            prediction = await question()
        except ServiceError as error:
            return Outcome(due, sent, self.clock(), len(sample.x), error=error.reason)
        done = self.clock()
        return Outcome(
            due,
            sent,
            done,
            len(sample.x),
            verdict=sample.judge(np.asarray(prediction.answer), prediction.version, self.tolerance),
            answered_by=f"{prediction.model}/{prediction.version} {prediction.implementation}",
            queue_seconds=prediction.queue_seconds,
            compute_seconds=prediction.compute_seconds,
        )

    async def predict(self, sample: Sample) -> Prediction:
        """Raises ServiceError."""
        return await self.client.run(
            self.model, sample.x, implementation=self.implementation, timeout_seconds=self.timeout_seconds
        )


async def open_loop(
    asking: Asking, samples: Sequence[Sample], choices: Iterator[int], due_seconds: NDArray[np.float64], progress: Progress
) -> list[Outcome]:
    """due_seconds: from the start, ascending. choices: which sample each request asks."""
    start = asking.clock()
    tasks: list[asyncio.Task[Outcome]] = []
    for due in due_seconds:
        await asking.sleep(max(0.0, start + due - asking.clock()))
        tasks.append(asyncio.create_task(asking.ask(samples[next(choices)], start + due)))
        progress(len(tasks) / len(due_seconds))
    return list(await asyncio.gather(*tasks))


async def closed_loop(
    asking: Asking,
    samples: Sequence[Sample],
    choices: Iterator[int],
    concurrency: int,
    progress: Progress,
    *,
    requests: int | None = None,
    duration_seconds: float | None = None,
) -> list[Outcome]:
    """Ends after `requests`, or when `duration_seconds` are over and what is under way is answered; at least one is needed."""
    if requests is None and duration_seconds is None:
        raise ValueError("a load test ends after a number of requests or after a time; neither was given")
    start = asking.clock()
    numbers = itertools.count() if requests is None else iter(range(requests))
    outcomes: list[Outcome] = []

    async def caller() -> None:
        for number in numbers:
            elapsed = asking.clock() - start
            if duration_seconds is not None and elapsed >= duration_seconds:
                return
            outcomes.append(await asking.ask(samples[next(choices)]))
            progress(max(number / (requests or np.inf), elapsed / (duration_seconds or np.inf)))

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())
    return outcomes
