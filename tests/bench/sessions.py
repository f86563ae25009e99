"""What live sequences cost: a step beside an echo, a hundred thousand of them beside a hundred, many beside a saturating load.

One step is one message on an open stream, answered before the next one is sent; the servers take turns, step by step.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median, quantiles

import grpc

from tests.bench import door_servers, table
from tests.bench.door_servers import ServerProcess
from tests.bench.sessions_traffic import FeedStream
from tests.bench.workloads import SEED_TF as WORKLOAD  # an LSTM of 64 units

STEPS = 3000  # of each contender, one at a time
MANY, FEW = 100_000, 100
PERIOD_SECONDS = 0.1
TICKING_SECONDS = 5.0
TICKING = (1000, 100, 20)  # sequences, each one step a period
LOAD_IN_FLIGHT = 32
STATE_BYTES = 4 * 2 * sum(WORKLOAD.units)  # h and c, float32


def run() -> None:
    with door_servers.repository_of(WORKLOAD) as folder:
        with _server(folder) as ours, door_servers.sessions_echo(folder, WORKLOAD) as echo:
            asyncio.run(_beside_an_echo(ours, echo))
        with _server(folder) as few, _server(folder) as many:
            asyncio.run(_many_beside_few(few, many))
        with _server(folder) as ours:
            asyncio.run(_beside_a_load(ours))


@contextmanager
def _server(repository: str) -> Iterator[ServerProcess]:
    """Without the sequences that another one has written when it ended."""
    with tempfile.TemporaryDirectory() as folder, door_servers.cellserve(repository, "--session-directory", folder) as server:
        yield server


async def _beside_an_echo(ours: ServerProcess, echo: ServerProcess) -> None:
    async with _stream(ours) as to_us, _stream(echo) as to_echo:
        await to_us.open(1)
        await to_echo.open(1)
        samples: dict[str, list[float]] = {"echo": [], "cellserve": []}
        for step in range(STEPS + STEPS // 10):
            for name, stream in (("echo", to_echo), ("cellserve", to_us)):
                seconds = await stream.feed(0)
                if step >= STEPS // 10:
                    samples[name].append(seconds)
    floor = median(samples["echo"])
    rows = [[name, *_micros(values), f"{median(values) / floor:.2f}"] for name, values in samples.items()]
    table.show("one step of one sequence on a stream", ("contender", "median µs", "p99 µs", "ratio of medians"), rows)


async def _many_beside_few(few: ServerProcess, many: ServerProcess) -> None:
    async with _stream(few) as to_few, _stream(many) as to_many:
        for stream in (to_few, to_many):  # what the first ones cost is the server's, not theirs
            await stream.open(FEW)
            await stream.feed_all()
        before = _resident_bytes(many)
        await to_many.open(MANY - FEW)
        opened = _resident_bytes(many)
        await to_many.feed_all()
        fed = _resident_bytes(many)
        chance = random.Random(5)
        samples: dict[str, list[float]] = {f"{FEW:,} live": [], f"{MANY:,} live": []}
        for step in range(STEPS + STEPS // 10):
            for name, stream in zip(samples, (to_few, to_many)):
                seconds = await stream.feed(chance.randrange(len(stream.positions)))
                if step >= STEPS // 10:
                    samples[name].append(seconds)
    floor = median(samples[f"{FEW:,} live"])
    rows = [[name, *_micros(values), f"{median(values) / floor:.2f}"] for name, values in samples.items()]
    table.show("one step of one of many sequences", ("live", "median µs", "p99 µs", "ratio of medians"), rows)
    allowed = 1.3 * STATE_BYTES + 1024
    rows = [
        [name, f"{STATE_BYTES}", f"{(after - before) / (MANY - FEW):.0f}", f"{(after - before) / (MANY - FEW) / allowed:.2f}"]
        for name, after in (("opened", opened), ("each fed a step", fed))
    ]
    columns = (f"{MANY:,} live sequences", "state bytes", "resident bytes", "ratio to 1.3 states + 1 KiB")
    table.show("memory of the server's process for each sequence", columns, rows)


async def _beside_a_load(ours: ServerProcess) -> None:
    rows = []
    for count in TICKING:
        async with _stream(ours) as stream:
            await stream.open(count)
            alone = await stream.tick(PERIOD_SECONDS, TICKING_SECONDS)
            with door_servers.running(
                "tests.bench.sessions_load", ours.address, WORKLOAD.name, str(WORKLOAD.features), str(LOAD_IN_FLIGHT)
            ):
                beside = await stream.tick(PERIOD_SECONDS, TICKING_SECONDS)
            await stream.end_all()
        ratio = _p99(beside) / _p99(alone)
        rows.append([f"{count:,}", f"{count / PERIOD_SECONDS:,.0f}", *_millis(alone), *_millis(beside), f"{ratio:.2f}"])
    columns = ("sequences", "steps/s asked", "median ms", "p99 ms", "median beside", "p99 beside", "ratio of p99")
    table.show(f"a step every {PERIOD_SECONDS * 1e3:.0f} ms, alone and beside a saturating load", columns, rows)


@asynccontextmanager
async def _stream(server: ServerProcess) -> AsyncIterator[FeedStream]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = FeedStream(channel, WORKLOAD.name, WORKLOAD.features)
        yield stream
        stream.close()


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


def _micros(seconds: list[float]) -> list[str]:
    return [f"{1e6 * median(seconds):.0f}", f"{1e6 * _p99(seconds):.0f}"]


def _millis(seconds: list[float]) -> list[str]:
    return [f"{1e3 * median(seconds):.1f}", f"{1e3 * _p99(seconds):.1f}"]


def _resident_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))
