"""Sends one process's share of a scenario, and notes what each request and each feed came to."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cellserve.service.client import AsyncClient, Prediction, RetryPolicy
from cellserve.service.errors import ServiceError
from cellserve.service.loadgen.drivers import Asking
from cellserve.service.loadgen.generator_load import GeneratorLoad, LoopWatch
from cellserve.service.loadgen.outcomes import Outcome
from cellserve.service.loadgen.samples import Sample
from cellserve.service.loadgen.scenarios.scenario import Scenario, Traffic
from cellserve.service.loadgen.scenarios.stream import Question, Stream

_NO_RETRIES = RetryPolicy(attempts=1)  # a refusal is a result here


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one process's share. Times on the machine's monotonic clock."""

    outcomes: list[Outcome]
    generator: GeneratorLoad


def client_of(arguments: dict[str, object], retry: bool) -> AsyncClient:
    """arguments: of AsyncClient: the address, the token, certificates."""
    return AsyncClient(**arguments | {"retry": RetryPolicy() if retry else _NO_RETRIES}, streams=False)  # type: ignore[arg-type]


def asking(client: AsyncClient, scenario: Scenario, part: Traffic) -> Asking:
    return Asking(client, part.model, part.implementation, scenario.timeout_seconds, scenario.tolerance)


async def learn(client: AsyncClient, scenario: Scenario, part: Traffic, questions: Iterable[Question]) -> tuple[Question, ...]:
    """The questions with the answers that each gets alone, where none is expected yet. Raises ServiceError."""
    asks = asking(client, scenario, part)
    learned: list[Question] = []
    for question in questions:
        if part.feeds is None:
            (sample,) = question
            learned.append((sample if sample.expected is not None else await _learned(sample, partial(asks.predict, sample)),))
            continue
        async with client.sequence(part.model) as live:
            fed = partial(live.run, implementation=part.implementation, timeout_seconds=scenario.timeout_seconds)
            learned.append(tuple([await _learned(sample, partial(fed, sample.x)) for sample in question]))
    return tuple(learned)


async def send(client: AsyncClient, scenario: Scenario, streams: Iterable[Stream], start_seconds: float, seed: int) -> Sent:
    """start_seconds: on the clock of `time.perf_counter`, at which the scenario begins for all processes."""
    async with LoopWatch() as watch, asyncio.TaskGroup() as group:
        sending = [
            group.create_task(_Sender(client, scenario, each, start_seconds, seed + number).run())
            for number, each in enumerate(streams)
        ]
    outcomes = [outcome for each in sending for outcome in each.result()]
    return Sent(outcomes, watch.load([outcome.send_lag_seconds for outcome in outcomes]))


async def _learned(sample: Sample, question: Callable[[], Awaitable[Prediction]]) -> Sample:
    prediction = await question()
    return dataclasses.replace(sample, expected=np.asarray(prediction.answer), version=prediction.version)


class _Sender:
    """One stream."""

    def __init__(self, client: AsyncClient, scenario: Scenario, stream: Stream, start_seconds: float, seed: int) -> None:
        self._client = client
        self._asking = asking(client, scenario, stream.part)
        self._scenario = scenario
        self._stream = stream
        self._start = start_seconds
        self._rng = np.random.default_rng([seed, scenario.seed])
        self._outcomes: list[Outcome] = []

    async def run(self) -> list[Outcome]:
        await (self._closed() if self._stream.callers else self._open())
        return self._outcomes

    async def _open(self) -> None:
        async with asyncio.TaskGroup() as group:
            for due, choice in zip(self._stream.due_seconds.tolist(), self._stream.choices.tolist()):
                await self._until(self._start + due)
                group.create_task(self._ask(self._stream.questions[choice], self._start + due))

    async def _closed(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._stream.callers):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        await self._until(self._start)
        while self._asking.clock() < self._start + self._scenario.duration_seconds:
            await self._ask(self._stream.questions[int(self._rng.integers(len(self._stream.questions)))], None)

    async def _ask(self, question: Question, due_seconds: float | None) -> None:
        if self._stream.part.feeds is not None:
            await self._feed(
                question, self._asking.clock() if due_seconds is None else due_seconds, self._stream.part.feeds.interval_seconds
            )
            return
        self._note(await self._asking.ask(question[0], due_seconds))

    async def _feed(self, question: Question, due_seconds: float, interval_seconds: float) -> None:
        """A live sequence from its begin to its end. After a feed that failed it is given up: what it holds is not known."""
        begun, asking = self._asking.clock(), self._asking
        try:
            async with self._client.sequence(self._stream.part.model) as live:
                for sample in question:
                    await self._until(due_seconds)
                    fed = partial(live.run, implementation=asking.implementation, timeout_seconds=asking.timeout_seconds)
                    outcome = await asking.judged(sample, partial(fed, sample.x), due_seconds)
                    self._note(outcome)
                    if outcome.error is not None:
                        break
                    due_seconds = due_seconds + interval_seconds if interval_seconds else outcome.done_seconds
        except ServiceError as error:  # of opening and closing
            self._note(Outcome(due_seconds, begun, self._asking.clock(), 0, error=error.reason))

    def _note(self, outcome: Outcome) -> None:
        self._outcomes.append(dataclasses.replace(outcome, traffic=self._stream.part.name))

    async def _until(self, seconds: float) -> None:
        await self._asking.sleep(max(0.0, seconds - self._asking.clock()))
