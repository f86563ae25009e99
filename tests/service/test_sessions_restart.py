"""Live sequences over the end of a real server: told to stop, or killed in the middle of its work."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client import AsyncClient
from tests.service.processes import Process
from tests.service.served import ARRAYS, SPEC, publish

SEQUENCES = 8
BEFORE, AFTER = 15, 10  # feeds of each sequence while the first server lives, and afterwards


@contextmanager
def _server(repository: Path, **settings: object) -> Iterator[tuple[Process, int]]:
    server = Process(repository, **settings)
    try:
        yield server, server.ready()[0]
    finally:
        server.process.kill()
        server.end()


class Walker:
    """One client's sequence, each answer of which is held to the oracle's for all that was fed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.fed = np.zeros((0, 3), np.float32)

    async def walk(self, client: AsyncClient, go_on: asyncio.Event, resumed: asyncio.Event) -> None:
        async with client.sequence("small") as sequence:
            for number in range(BEFORE + AFTER):
                if number == BEFORE:
                    go_on.set()
                    await resumed.wait()
                steps = self._random.normal(size=(int(self._random.integers(1, 4)), 3)).astype(np.float32)
                self.fed = np.concatenate([self.fed, steps])
                answer = await sequence.feed(steps)
                assert sequence.position == len(self.fed)
                (expected,), _ = reference.run(SPEC, ARRAYS, (self.fed[None],), [len(self.fed)])
                np.testing.assert_allclose(np.asarray(answer).reshape(-1), expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "durable_every"),
    [
        pytest.param(signal.SIGTERM, "", id="told to stop"),
        pytest.param(signal.SIGKILL, "7", id="killed, written every 7 feeds"),
        pytest.param(signal.SIGKILL, "0.05s", id="killed, written every 50 ms"),
    ],
)
async def test_sequences_go_on_as_if_nothing_had_happened(tmp_path: Path, how: signal.Signals, durable_every: str) -> None:
    repository = tmp_path / "repository"
    publish(repository)
    walkers = [Walker(seed) for seed in range(SEQUENCES)]
    reached, resumed = [asyncio.Event() for _ in walkers], asyncio.Event()
    with _server(repository, durable_every=durable_every) as (first, port):
        async with AsyncClient(f"127.0.0.1:{port}") as client, asyncio.TaskGroup() as group:
            walks = [group.create_task(walker.walk(client, event, resumed)) for walker, event in zip(walkers, reached)]
            for event in reached:
                await event.wait()
            first.process.send_signal(how)
            code, _, log = await asyncio.to_thread(first.end)
            assert code == (0 if how == signal.SIGTERM else -how), log
            with _server(repository, port=port, durable_every=durable_every):
                resumed.set()
                await asyncio.wait(walks)
