"""A server asked to stop, and one killed, again and again under load: clients with the default retries fail not once.

Whole requests, over streams, over calls of their own and from threads. Every answer is held to the oracle's. SERVER_STOPS in the
environment stops more often.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client import AsyncClient, Client
from tests.service.processes import Process
from tests.service.served import ARRAYS, SPEC, publish

pytestmark = pytest.mark.e2e

STOPS = int(os.environ.get("SERVER_STOPS", 3))
ANSWERS_BETWEEN = 300
CALLERS = 8


class Load:
    """Callers that ask without a pause. answers: right ones, by kind of client. done: ends them."""

    def __init__(self, url: str) -> None:
        self._url = url
        numbers = np.random.default_rng(5)
        inputs = [numbers.normal(size=(steps, 3)).astype(np.float32) for steps in (1, 4, 30, 200)]
        self._questions = [(x, reference.run(SPEC, ARRAYS, (x[None],), [len(x)])[0][0][0]) for x in inputs]
        self.answers: Counter[str] = Counter()
        self.done = False

    async def run(self) -> None:
        async with (
            AsyncClient(self._url) as on_stream,
            AsyncClient(self._url, streams=False) as by_calls,
            asyncio.TaskGroup() as callers,
        ):
            for _ in range(CALLERS):
                callers.create_task(self._ask("on a stream", on_stream))
                callers.create_task(self._ask("by calls", by_calls))
            callers.create_task(asyncio.to_thread(self._ask_from_a_thread))

    async def answered(self, more: int) -> None:
        """Until so many more have come."""
        enough = self.answers.total() + more
        while self.answers.total() < enough:
            await asyncio.sleep(0.01)

    async def _ask(self, kind: str, client: AsyncClient) -> None:
        while not self.done:
            for x, expected in self._questions:
                self._require_right(await client.predict("small", x), expected, kind)

    def _ask_from_a_thread(self) -> None:
        with Client(self._url) as client:
            while not self.done:
                for x, expected in self._questions:
                    self._require_right(client.predict("small", x), expected, "from a thread")

    def _require_right(self, answer: np.ndarray, expected: np.ndarray, kind: str) -> None:
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
        self.answers[kind] += 1


@contextmanager
def server(repository: Path, port: int = 0) -> Iterator[tuple[Process, int]]:
    started = Process(repository, port=port)
    try:
        yield started, started.ready()[0]
    finally:
        started.process.kill()
        started.end()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_no_request_fails(tmp_path: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    repository = tmp_path / "repository"
    publish(repository)
    with ExitStack() as servers:
        running, port = await asyncio.to_thread(servers.enter_context, server(repository))
        load = Load(f"127.0.0.1:{port}")
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for _ in range(STOPS):
                await load.answered(ANSWERS_BETWEEN)
                running.process.send_signal(how)
                code, _, _ = await asyncio.to_thread(running.end)
                assert code == (0 if how is signal.SIGTERM else -signal.SIGKILL)
                running, _ = await asyncio.to_thread(servers.enter_context, server(repository, port))
            await load.answered(ANSWERS_BETWEEN)
            load.done = True
    assert set(load.answers) == {"on a stream", "by calls", "from a thread"}
    with capsys.disabled():
        print(f"\n{how.name}, {STOPS} times: {dict(load.answers)} answers, all right, 0 failed")
