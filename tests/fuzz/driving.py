"""Sends cases, many in flight, while witnesses ask good questions on the same connection. Knows no strategy and no model."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc

from tests.fuzz.cases import CUT, STREAMS, Case, Outcome, Story, fault, told
from tests.patience import Waited, nobody, within

HANGING_SECONDS: Final = 60.0
IN_FLIGHT: Final = 64
BETWEEN_QUESTIONS_SECONDS: Final = 0.02  # witnesses leave the machine to the cases
# grpc.aio's client says this of itself when a stream ends while it still sends; the server's own status is lost then.
_ENDED_WHILE_SENDING: Final = "Internal error from Core"


class Fuzz:
    """What has been sent so far. faults: told for a person, one for each case that met one."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.codes: Counter[str] = Counter()
        self.faults: list[str] = []

    async def send(self, cases: Iterable[Case | Story]) -> None:
        """Returns when each is answered or known to hang."""
        waiting = iter(cases)
        await asyncio.gather(*(self._send_each(waiting) for _ in range(IN_FLIGHT)))

    async def _send_each(self, cases: Iterable[Case | Story]) -> None:
        for each in cases:
            await self._send_in_order(each.cases if isinstance(each, Story) else (each,))

    async def _send_in_order(self, cases: Sequence[Case]) -> None:
        for case in cases:
            outcome = await self._outcome(case)
            self.codes[outcome.code] += 1
            wrong = fault(case, outcome)
            if wrong is not None:
                self.faults.append(told(case, outcome, wrong))

    async def _outcome(self, case: Case) -> Outcome:
        try:
            if case.method in STREAMS:
                call = self._channel.stream_stream(case.method)(iter(case.messages), timeout=HANGING_SECONDS)
                return Outcome("OK", "", tuple([reply async for reply in call]))
            return Outcome("OK", "", (await self._channel.unary_unary(case.method)(case.messages[0], timeout=HANGING_SECONDS),))
        except grpc.aio.AioRpcError as error:
            details = error.details() or ""
            cut = case.method in STREAMS and details == _ENDED_WHILE_SENDING
            return Outcome(CUT if cut else error.code().name, details)


class Witness:
    """Asks a question with a known answer over and over. ask: raises where the answer is wrong. waited: see tests/patience.py."""

    def __init__(self, waited: Waited = nobody) -> None:
        self._waited = waited
        self.seconds: list[float] = []  # what each answer took

    @property
    def answers(self) -> int:
        return len(self.seconds)

    async def watch(self, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            began = time.perf_counter()
            await within(HANGING_SECONDS, ask(), self._waited)
            self.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(BETWEEN_QUESTIONS_SECONDS)


@asynccontextmanager
async def watched(questions: Sequence[Callable[[], Awaitable[None]]], waited: Waited = nobody) -> AsyncIterator[list[Witness]]:
    """A witness for each question, at work until the block ends. Raises what a wrong answer raises."""
    witnesses = [Witness(waited) for _ in questions]
    tasks = [asyncio.create_task(witness.watch(ask)) for witness, ask in zip(witnesses, questions)]
    try:
        yield witnesses
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if not isinstance(end, asyncio.CancelledError):
            raise end
