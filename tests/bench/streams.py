"""What a request costs our own clients and the server: as a call of its own, or as a message on an open stream.

The real server in a process of its own, a model small enough that computing hardly counts, CPU seconds of both processes,
the contenders in turn. The synchronous stream exists only here: it is what Client does without.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Thread

import grpc
import numpy as np

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.spec import InputSpec, ModelSpec
from cellserve.models.weights import Weights
from cellserve.service.client import AsyncClient, Client
from cellserve.service.client.call import CallSettings
from cellserve.service.client.requests import PartLimits
from cellserve.service.client.retry import RetryPolicy
from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc as pb_grpc
from cellserve.service.registry.repository.repository import Repository
from deploy.demo.server import Server
from tests.bench.table import show

MODEL = "tiny"
STEPS, FEATURES, UNITS = 8, 8, 8
REQUESTS = 1000  # of each contender in each round
ROUNDS = 5
IN_FLIGHT = (1, 32)
X = np.ones((STEPS, FEATURES), np.float32)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="cellserve-bench-") as folder:
        Repository(Path(folder) / "repository").publish(MODEL, _model())
        with Server(Path(folder) / "repository", Path(folder) / "server.log") as address:
            for in_flight in IN_FLIGHT:
                _show(in_flight, _measure(address.url, _server_pid(address.url), in_flight))


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of each process, and seconds on the wall, of one round."""

    client: float
    server: float
    wall: float


def _measure(url: str, server: int, in_flight: int) -> dict[str, Cost]:
    contenders: dict[str, Callable[[], None]] = {
        "AsyncClient, calls": lambda: asyncio.run(_drive_async(url, in_flight, streams=False)),
        "AsyncClient, stream": lambda: asyncio.run(_drive_async(url, in_flight, streams=True)),
        "Client, calls": lambda: _drive_calls(url, in_flight),
        "Client, stream": lambda: _drive_stream(url, in_flight),
    }
    samples: dict[str, list[Cost]] = {name: [] for name in contenders}
    for round_number in range(ROUNDS + 1):
        for name, drive in contenders.items():
            client, served, wall = time.process_time(), _cpu_seconds(server), time.perf_counter()
            drive()
            cost = Cost(time.process_time() - client, _cpu_seconds(server) - served, time.perf_counter() - wall)
            if round_number:
                samples[name].append(cost)
    return {
        name: Cost(*(median(getattr(cost, part) for cost in costs) for part in ("client", "server", "wall")))
        for name, costs in samples.items()
    }


async def _drive_async(url: str, in_flight: int, streams: bool) -> None:
    async with AsyncClient(url, streams=streams) as client:
        left = iter(range(REQUESTS))

        async def ask() -> None:
            for _ in left:
                await client.predict(MODEL, X)

        await asyncio.gather(*(ask() for _ in range(in_flight)))


def _drive_calls(url: str, in_flight: int) -> None:
    with Client(url) as client:
        _in_threads(in_flight, lambda: client.predict(MODEL, X))


def _drive_stream(url: str, in_flight: int) -> None:
    settings = CallSettings(60.0, RetryPolicy(), PartLimits(), "float32", time.monotonic)
    with grpc.insecure_channel(url) as channel:
        stream = ThreadStream(channel)

        def ask() -> None:
            call = settings.call(MODEL, X, False, {})
            call.prediction([stream.run(call.request(call.parts[0]))])

        _in_threads(in_flight, ask)
        stream.close()


def _in_threads(threads: int, ask: Callable[[], object]) -> None:
    left = iter(range(REQUESTS))  # next() of a range iterator is atomic

    def work() -> None:
        for _ in left:
            ask()

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()


class ThreadStream:
    """One stream that threads share: a thread of grpc's writes, one of ours reads."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._outgoing: queue.SimpleQueue[pb.StreamRequest | None] = queue.SimpleQueue()
        self._waiting: dict[str, Future[pb.RunReply]] = {}
        self._numbers = itertools.count()
        self._replies = pb_grpc.SequencesStub(channel).Stream(iter(self._outgoing.get, None))  # type: ignore[no-untyped-call]
        self._reader = Thread(target=self._read)
        self._reader.start()

    def run(self, request: pb.RunRequest) -> pb.RunReply:
        given = str(next(self._numbers))
        answer = self._waiting[given] = Future()
        self._outgoing.put(pb.StreamRequest(id=given, run=request))
        return answer.result()

    def close(self) -> None:
        self._outgoing.put(None)
        self._reader.join()

    def _read(self) -> None:
        for reply in self._replies:
            self._waiting.pop(reply.id).set_result(reply.run)


def _show(in_flight: int, costs: dict[str, Cost]) -> None:
    floor = min(cost.client + cost.server for cost in costs.values())
    per_thousand = 1000 / REQUESTS
    rows = [
        [
            name,
            *(f"{value * per_thousand:.3f}" for value in (cost.client, cost.server, cost.client + cost.server, cost.wall)),
            f"{(cost.client + cost.server) / floor:.2f}",
        ]
        for name, cost in costs.items()
    ]
    columns = ["CPU s / 1000 requests", "client", "server", "both", "wall s", "ratio to the cheapest"]
    show(f"Calls and streams, {in_flight} in flight (one sequence of {STEPS} steps each)", columns, rows)


def _cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def _server_pid(url: str) -> int:
    """The child of this process that has `serve` on its command line."""
    for entry in _children(os.getpid()):
        if b"serve" in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0"):
            return entry
    raise RuntimeError(f"the server at {url} is no child of this process")


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _model() -> ImportedModel:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", width=FEATURES),),
        layers=(LstmLayer(name="lstm", inputs=("x",), units=UNITS),),
        outputs=("lstm",),
    )
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(scale=0.3, size=shape) for name, shape in expected_weights(spec).items()}
    return ImportedModel(spec, Weights.of(arrays), Source("random", "", "tests/bench/streams.py", ""))
