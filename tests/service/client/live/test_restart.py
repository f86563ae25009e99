"""Both clients over the restart of a real server, without a pause in their requests: all of them are answered."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.service.client import AsyncClient, Client
from tests.service.processes import Process
from tests.service.served import ARRAYS, SPEC, publish

ENOUGH = 20  # answers of each caller, before the server ends and after it is back
CALLERS = 2  # of each kind
PATIENCE_SECONDS = 300.0  # a server may be long in starting on a busy machine


@contextmanager
def _server(repository: Path, port: int = 0) -> Iterator[tuple[Process, int]]:
    server = Process(repository, port=port, durable_every="3")
    try:
        yield server, server.ready()[0]
    finally:
        server.process.kill()
        server.end()


def _right(steps: np.ndarray, answer: np.ndarray) -> None:
    (expected,), _ = reference.run(SPEC, ARRAYS, (steps[None],), [len(steps)])
    np.testing.assert_allclose(answer.reshape(-1), expected[0], rtol=1e-4, atol=1e-5)


class Progress:
    """What one caller has been answered, from any thread."""

    def __init__(self) -> None:
        self.answers = 0
        self.restarted = threading.Event()
        self._after = 0

    def count(self) -> bool:
        """Whether to go on."""
        self.answers += 1
        self._after += self.restarted.is_set()
        return self._after < ENOUGH


def _one_shots(client: Client, seed: int, progress: Progress) -> None:
    random = np.random.default_rng(seed)
    more = True
    while more:
        steps = random.normal(size=(int(random.integers(1, 9)), 3)).astype(np.float32)
        _right(steps, client.predict("small", steps))
        more = progress.count()


def _feeds(client: Client, seed: int, progress: Progress) -> None:
    random = np.random.default_rng(seed)
    more = True
    while more:
        fed = np.zeros((0, 3), np.float32)
        with client.sequence("small", f"thread-{seed}-{progress.answers}") as sequence:
            while more and len(fed) < 40:
                steps = random.normal(size=(int(random.integers(1, 4)), 3)).astype(np.float32)
                fed = np.concatenate([fed, steps])
                _right(fed, sequence.feed(steps))
                more = progress.count()


async def _one_shots_async(client: AsyncClient, seed: int, progress: Progress) -> None:
    random = np.random.default_rng(seed)
    more = True
    while more:
        steps = random.normal(size=(int(random.integers(1, 9)), 3)).astype(np.float32)
        _right(steps, await client.predict("small", steps))
        more = progress.count()


async def _feeds_async(client: AsyncClient, name: str, seed: int, progress: Progress) -> None:
    random = np.random.default_rng(seed)
    more = True
    while more:
        fed = np.zeros((0, 3), np.float32)
        async with client.sequence("small", f"{name}-{seed}-{progress.answers}" if seed else "") as sequence:
            while more and len(fed) < 40:
                steps = random.normal(size=(int(random.integers(1, 4)), 3)).astype(np.float32)
                fed = np.concatenate([fed, steps])
                _right(fed, await sequence.feed(steps))
                more = progress.count()


async def _all(condition: Callable[[], bool], tasks: list[asyncio.Task[None]]) -> None:
    while not condition():
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_no_call_fails_while_the_server_restarts(tmp_path: Path, how: signal.Signals) -> None:
    repository = tmp_path / "repository"
    publish(repository)
    progress = [Progress() for _ in range(6 * CALLERS)]
    each = iter(progress)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * CALLERS + 2))  # a thread for each that waits in one
    with _server(repository) as (first, port):
        url = f"127.0.0.1:{port}"
        given = {"timeout_seconds": PATIENCE_SECONDS}
        with Client(url, **given) as client:
            async with AsyncClient(url, **given) as on_a_stream, AsyncClient(url, streams=False, **given) as by_calls:
                tasks: list[asyncio.Task[None]] = []
                for seed in range(CALLERS):
                    for work in (_one_shots, _feeds):
                        tasks.append(asyncio.create_task(asyncio.to_thread(work, client, seed, next(each))))
                    for name, other in {"stream": on_a_stream, "call": by_calls}.items():
                        tasks.append(asyncio.create_task(_one_shots_async(other, seed, next(each))))
                        tasks.append(asyncio.create_task(_feeds_async(other, name, seed, next(each))))
                await _all(lambda: all(one.answers >= ENOUGH for one in progress), tasks)
                first.process.send_signal(how)
                code, _, log = await asyncio.to_thread(first.end)
                assert code == (0 if how == signal.SIGTERM else -how), log
                await asyncio.sleep(2.0)  # longer than any counted number of attempts lasted, and than a channel's first waits
                with _server(repository, port):
                    for one in progress:
                        one.restarted.set()
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await asyncio.gather(*tasks)
