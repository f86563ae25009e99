"""Servers, store and proxy on machines of their own (network namespaces), one of which is cut off under a load of live sequences.

A machine that is cut off is not dead: it goes on with what it has, and comes back with it. Every answer is held to the oracle's.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from cellserve.service.client import AsyncClient
from cellserve.service.cluster import binaries
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.e2e import networks
from tests.e2e.networks import Machine, machines
from tests.e2e.replicas import require_right
from tests.service.cluster.running import missing
from tests.service.served import publish

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine"),
]

SEQUENCES = 16
LIMIT_SECONDS = 240
BETWEEN = 40  # answers of each sequence before and after


@pytest.fixture
def reachable() -> None:
    why = networks.missing()
    if why is not None:
        pytest.skip(why)


@contextmanager
def started(command: tuple[str, ...], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=os.environ | environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def spread(folder: Path, made: dict[str, Machine]) -> Iterator[str]:
    """A store, two servers and a proxy, each on its machine: the proxy's address. Logs are in `folder`."""
    publish(folder / "repository")
    store = made["store"].command(
        *(str(binaries.valkey()), "--bind", "0.0.0.0", "--protected-mode", "no", "--port", "6379", "--save", ""),
        *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec"),
    )
    printed = subprocess.run(
        (sys.executable, "-m", "cellserve.service", "cluster", "envoy")
        + tuple(word for name in ("one", "two") for word in ("--server", f"{made[name].address}:8001")),
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "envoy.json").write_text(printed.stdout)
    proxy = made["proxy"].command(
        *(str(binaries.envoy()), "--config-path", str(folder / "envoy.json"), "--disable-hot-restart"),
        *("--concurrency", "1", "--log-level", "error"),
    )
    serve = (sys.executable, "-m", "cellserve.service", "serve", "--repository", str(folder / "repository"), "--host", "0.0.0.0")
    shared = ("--session-store", f"valkey://{made['store'].address}:6379", "--request-ids-from", made["proxy"].address)
    with ExitStack() as stack:
        stack.enter_context(started(store, folder / "store.log"))
        for name in ("one", "two"):
            command = made[name].command(*serve, *shared, "--replica-name", name, "--implementation", "2", "--workers", "1")
            stack.enter_context(started(command, folder / f"{name}.log"))
        _wait_until(lambda: all("cellserve ready" in (folder / f"{name}.log").read_text() for name in ("one", "two")))
        stack.enter_context(started(proxy, folder / "proxy.log"))
        yield f"{made['proxy'].address}:8001"


class Load:
    """over: nobody feeds any more."""

    def __init__(self) -> None:
        self.over = False


class Walk:
    """What a sequence was fed, and what was answered."""

    def __init__(self, number: int) -> None:
        self.name = f"walk-{number}"
        self._chance = np.random.default_rng(number)
        self._steps: list[np.ndarray] = []
        self._answers: list[list[float]] = []

    @property
    def fed(self) -> int:
        return len(self._answers)

    def step(self) -> np.ndarray:
        self._steps.append(self._chance.normal(size=(1, 3)).astype(np.float32))
        return self._steps[-1]

    def answered(self, answer: np.ndarray, position: int) -> None:
        assert position == len(self._steps)
        self._answers.append(answer.reshape(-1).tolist())

    def require_right(self) -> None:
        require_right(self._answers, np.concatenate(self._steps))


async def by_calls(channel: grpc.aio.Channel, walk: Walk, load: Load) -> None:
    """Never asks twice, and says neither position nor epoch: what the proxy asks again is the proxy's affair."""
    stub = cellserve_pb2_grpc.SequencesStub(channel)  # type: ignore[no-untyped-call]
    await stub.Open(pb.OpenRequest(model="small", sequence_id=walk.name), wait_for_ready=True)
    while not load.over:
        inputs = pb.Tensor(shape=(1, 3), data=walk.step().tobytes())
        reply = await stub.Feed(pb.FeedRequest(model="small", sequence_id=walk.name, inputs=inputs))
        walk.answered(np.frombuffer(reply.answer.outputs[0].tensor.data, np.float32), reply.position)


async def by_our_client(client: AsyncClient, walk: Walk, load: Load) -> None:
    async with client.sequence("small", walk.name) as sequence:
        while not load.over:
            walk.answered(await sequence.feed(walk.step()), sequence.position)


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("cut", ["everything", "the store"])
async def test_a_server_that_is_cut_off_loses_nothing_and_comes_back(cut: str, tmp_path: Path) -> None:
    """From everything, or from the store alone."""
    load, walks = Load(), [Walk(number) for number in range(SEQUENCES)]
    with machines(("store", "one", "two", "proxy")) as made, spread(tmp_path, made) as url:
        one, store = made["one"], made["store"]
        async with (
            grpc.aio.insecure_channel(url) as channel,
            AsyncClient(url, streams=False, timeout_seconds=LIMIT_SECONDS) as client,
            asyncio.TaskGroup() as group,
        ):
            for number, walk in enumerate(walks):
                # who never asks twice would be told that the store is away
                blind = number % 2 == 0 and cut == "everything"
                group.create_task(by_calls(channel, walk, load) if blind else by_our_client(client, walk, load))
            await _all_further(walks)
            if cut == "everything":
                one.cut()
            else:
                one.forget(store)
            await _all_further(walks)
            if cut == "everything":
                one.heal()
            else:
                one.remember(store)
            await _all_further(walks)
            load.over = True
    for walk in walks:
        walk.require_right()


@pytest.mark.usefixtures("reachable")
async def test_whole_requests_go_on_while_nobody_reaches_the_store(tmp_path: Path) -> None:
    load, walk = Load(), Walk(0)
    with machines(("store", "one", "two", "proxy")) as made, spread(tmp_path, made) as url:
        async with (
            AsyncClient(url, streams=False, timeout_seconds=LIMIT_SECONDS) as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(by_our_client(client, walk, load))
            await _all_further([walk])
            made["store"].cut()
            await asyncio.to_thread(_wait_until, lambda: _healthy(made["proxy"]) == 0)
            for _ in range(BETWEEN):
                assert (await client.predict("small", np.ones((2, 3), np.float32), timeout_seconds=30.0)).shape == (4,)
            assert _healthy(made["proxy"]) == 0
            made["store"].heal()
            await _all_further([walk])
            load.over = True
    walk.require_right()


def _healthy(proxy: Machine) -> int:
    """How many servers Envoy believes in."""
    with urllib.request.urlopen(f"http://{proxy.address}:9902/stats/prometheus", timeout=30) as response:
        page = response.read().decode()
    (line,) = (
        line for line in page.splitlines() if line.startswith('envoy_cluster_membership_healthy{envoy_cluster_name="replicas"}')
    )
    return int(float(line.rpartition(" ")[2]))


async def _all_further(walks: list[Walk]) -> None:
    """Until each sequence has gone on, whatever else is away."""
    began, end = [walk.fed for walk in walks], time.monotonic() + LIMIT_SECONDS
    while not all(walk.fed >= was + BETWEEN for walk, was in zip(walks, began, strict=True)):
        assert time.monotonic() < end, [walk.fed - was for walk, was in zip(walks, began, strict=True)]
        await asyncio.sleep(0.01)


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
