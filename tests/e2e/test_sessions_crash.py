"""A server killed in the middle of a load of live sequences, three times, and started again on the same port.

Half of the clients keep what they fed and feed again by themselves what was lost; the others keep nothing, are told where the
server stands, and go on from there. Every answer is held to the oracle's for exactly the steps that the server has consumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client import AsyncClient, ReplayLimits, RetryPolicy
from cellserve.service.errors import SequenceLost, SequencePosition
from tests.service.processes import Process
from tests.service.served import ARRAYS, SPEC, publish

pytestmark = pytest.mark.e2e

SEQUENCES = 48
KILLS = (400, 900, 1400)  # after so many answers in all
ANSWERS = 2000
PATIENT = RetryPolicy(attempts=1000, first_wait_seconds=0.02, longest_wait_seconds=0.2)
FORGETFUL = ReplayLimits(steps=0)


class Load:
    """Counts answers. killed: events, each set when as many have come as its place in KILLS asks for."""

    def __init__(self) -> None:
        self.answers = 0
        self.due = {answers: asyncio.Event() for answers in KILLS}

    def answered(self) -> None:
        self.answers += 1
        if self.answers in self.due:
            self.due[self.answers].set()


class Walker:
    """One sequence, fed without a pause. fed: what the server has consumed, [T, 3]."""

    def __init__(self, client: AsyncClient, replay: ReplayLimits | None, seed: int) -> None:
        self._client = client
        self._replay = replay
        self._random = np.random.default_rng(seed)
        self.sequence = client.sequence("small", replay=replay)
        self.fed = np.zeros((0, 3), np.float32)
        self.unheard = self.fallen_back = self.lost = 0

    async def walk(self, load: Load) -> None:
        await self.sequence.open()
        while load.answers < ANSWERS:
            steps = self._random.normal(size=(int(self._random.integers(1, 4)), 3)).astype(np.float32)
            try:
                answer = await self.sequence.feed(steps)
            except SequencePosition as told:
                await self._go_on_from(told.position, steps)
            except SequenceLost:
                await self._begin_again()
            else:
                self.fed = np.concatenate([self.fed, steps])
                self._require_right(answer)
                load.answered()

    async def _go_on_from(self, position: int | None, steps: np.ndarray) -> None:
        if position == len(self.fed) + len(steps) == self.sequence.position:
            self.fed = np.concatenate([self.fed, steps])  # they were consumed, and only the answer did not come through
            self.unheard += 1
            return
        assert self._replay is FORGETFUL
        assert position is not None
        assert position < len(self.fed)
        self.fed = self.fed[:position]
        self.sequence = await self._client.attach("small", self.sequence.id)
        assert self.sequence.position == position
        self.fallen_back += 1

    async def _begin_again(self) -> None:
        """It was not on disk when the server was killed."""
        assert self._replay is FORGETFUL
        self.fed = self.fed[:0]
        self.sequence = await self._client.sequence("small", replay=self._replay).open()
        self.lost += 1

    def _require_right(self, answer: np.ndarray) -> None:
        assert self.sequence.position == len(self.fed)
        (expected,), _ = reference.run(SPEC, ARRAYS, (self.fed[None],), [len(self.fed)])
        np.testing.assert_allclose(np.asarray(answer).reshape(-1), expected[0], rtol=1e-4, atol=1e-5)


@contextmanager
def server(repository: Path, durable_every: str, port: int = 0) -> Iterator[tuple[Process, int]]:
    started = Process(repository, durable_every=durable_every, port=port)
    try:
        yield started, started.ready()[0]
    finally:
        started.process.kill()
        started.end()


@pytest.mark.parametrize("durable_every", ["20", "0.1s"])
async def test_no_wrong_answer_and_every_client_told_its_true_position(
    tmp_path: Path, durable_every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "repository"
    publish(repository)
    load = Load()
    with ExitStack() as servers:
        running, port = await asyncio.to_thread(servers.enter_context, server(repository, durable_every))
        url = f"127.0.0.1:{port}"
        async with AsyncClient(url, retry=PATIENT) as on_stream, AsyncClient(url, retry=PATIENT, streams=False) as by_calls:
            walkers = [
                Walker((on_stream, by_calls)[seed % 2], (None, FORGETFUL)[seed // 2 % 2], seed) for seed in range(SEQUENCES)
            ]
            async with asyncio.TaskGroup() as group:
                for walker in walkers:
                    group.create_task(walker.walk(load))
                for due in load.due.values():
                    await due.wait()
                    running.process.kill()
                    await asyncio.to_thread(running.end)
                    running, _ = await asyncio.to_thread(servers.enter_context, server(repository, durable_every, port))
            live = {info.id: info.position for info in await on_stream.sequences()}
            assert [live[walker.sequence.id] for walker in walkers] == [len(walker.fed) for walker in walkers]
            await asyncio.gather(*(walker.sequence.close() for walker in walkers))
    fallen_back, lost, unheard = (sum(getattr(each, count) for each in walkers) for count in ("fallen_back", "lost", "unheard"))
    with capsys.disabled():
        print(f"\n{load.answers} answers; {fallen_back} times told of lost steps, {lost} of a lost sequence, {unheard} unheard")
    assert fallen_back > 0
