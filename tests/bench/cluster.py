"""What a cluster costs: a feed through Envoy beside one straight to its server, one written to the store beside one that is not.

One replica, so that both ways end at the same server. CPU of processes, read from outside; the contenders take turns.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc

from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.pb import cellserve_pb2_grpc
from tests.bench import door_servers, table
from tests.bench.door_servers import cpu_seconds_of
from tests.bench.sessions_traffic import FeedStream
from tests.bench.workloads import SEED_TF as WORKLOAD  # an LSTM of 64 units
from tests.service.cluster.running import Running

ROUNDS: Final = 9
FEEDS: Final = {1: 300, 8: 1200, 64: 2560}  # of a contender in a round, by how many are in flight
SETTINGS: Final = {"CELLSERVE_LOG_LEVEL": "error", "CELLSERVE_IMPLEMENTATION": "packed", "CELLSERVE_WORKERS": "1"}
STEP: Final = pb.Tensor(shape=(1, WORKLOAD.features), data=bytes(4 * WORKLOAD.features))

Drive = Callable[[], Awaitable[None]]


def run() -> None:
    with tempfile.TemporaryDirectory() as folder, door_servers.repository_of(WORKLOAD) as repository:
        running = Running(Path(folder), ("--repository", repository, "--replicas", "1"), dict(SETTINGS))
        options = ("--implementation", "packed", "--workers", "1", "--session-directory", str(Path(folder) / "alone"))
        try:
            with door_servers.cellserve(repository, *options) as alone:
                asyncio.run(_through_the_proxy(running))
                asyncio.run(_with_the_store(running, alone))
                asyncio.run(_how_often_the_store_is_asked(running))
        finally:
            running.end()


async def _through_the_proxy(running: Running) -> None:
    state = running.state()
    server, proxy, store = state["replicas"][0]["pid"], state["proxy"]["pid"], state["store"]["pid"]
    rows = []
    async with _channel(state["replicas"][0]["url"]) as straight, _channel(running.url) as proxied:
        for name, in_flight, contenders in (
            *(
                (
                    f"a call each, {in_flight} in flight",
                    in_flight,
                    {
                        "straight": _calls(straight, in_flight, header=False),
                        "id in the header": _calls(proxied, in_flight, header=True),
                        "id in the body": _calls(proxied, in_flight, header=False),
                    },
                )
                for in_flight in (1, 8)
            ),
            ("on a stream, 8 in flight", 8, {"straight": _stream(straight, 8), "proxied": _stream(proxied, 8)}),
        ):
            costs = await _measured(contenders, (server, proxy, store), FEEDS[in_flight])
            floor = sum(costs["straight"])
            for way, (of_server, of_proxy, of_store) in costs.items():
                micros = [f"{each:.0f}" for each in (of_server, of_proxy, of_store)]
                rows.append([name, way, *micros, f"{(of_server + of_proxy + of_store) / floor:.2f}"])
    columns = ("one step of a live sequence", "way", "server", "Envoy", "Valkey", "ratio of all")
    table.show("through Envoy: CPU µs for each feed", columns, rows)


async def _with_the_store(running: Running, alone: door_servers.ServerProcess) -> None:
    state, rows = running.state(), []
    server, store = state["replicas"][0]["pid"], state["store"]["pid"]
    async with _channel(state["replicas"][0]["url"]) as shared, _channel(alone.address) as own:
        for in_flight in (8, 64):
            for name, ways in (
                ("a call each", {"own memory": _calls(own, in_flight, False), "store": _calls(shared, in_flight, False)}),
                ("on a stream", {"own memory": _stream(own, in_flight), "store": _stream(shared, in_flight)}),
            ):
                costs = await _measured(ways, (alone.pid, server, store), FEEDS[in_flight])
                without, (_, of_server, of_store) = costs["own memory"][0], costs["store"]
                micros = [f"{each:.0f}" for each in (without, of_server, of_store)]
                rows.append([f"{name}, {in_flight} in flight", *micros, f"{of_server / without - 1:+.2f}"])
    columns = ("one step of a live sequence", "own memory", "with the store", "Valkey", "share of the server's")
    table.show("written to the store before the answer: CPU µs for each feed", columns, rows)


async def _how_often_the_store_is_asked(running: Running) -> None:
    def asked(operation: str) -> int:
        return running.counted(0, "cellserve_session_store_records_sum", f'operation="{operation}"')

    rows = []
    async with _channel(running.url) as channel:
        stub = cellserve_pb2_grpc.SequencesStub(channel)  # type: ignore[no-untyped-call]
        whole = pb.RunRequest(model=WORKLOAD.name, lengths=[1], inputs=STEP)
        await _opened(stub, ["kept"])
        for name, request in (
            ("whole requests", lambda: stub.Run(whole)),
            ("feeds of a sequence that is here", lambda: stub.Feed(_feed("kept"))),
        ):
            before = asked("load"), asked("write")
            for _ in range(FEEDS[1]):
                await request()
            rows.append([name, str(FEEDS[1]), str(asked("write") - before[1]), str(asked("load") - before[0])])
    table.show("records of the store", ("requests", "sent", "written", "read"), rows)


async def _measured(contenders: Mapping[str, Drive], pids: tuple[int, ...], feeds: int) -> dict[str, list[float]]:
    """CPU µs of each process for each feed: medians of rounds, after one that does not count."""
    samples: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, drive in contenders.items():
            before = [cpu_seconds_of(pid) for pid in pids]
            await drive()
            if number:
                samples[name].append([1e6 * (cpu_seconds_of(pid) - was) / feeds for pid, was in zip(pids, before, strict=True)])
    return {name: [median(each) for each in zip(*rounds, strict=True)] for name, rounds in samples.items()}


def _calls(channel: grpc.aio.Channel, in_flight: int, header: bool) -> Drive:
    """Each of so many sequences is fed by calls, one after the other. header: whether they name the sequence for a proxy."""
    stub: Any = cellserve_pb2_grpc.SequencesStub(channel)  # type: ignore[no-untyped-call]
    names = [f"call-{number}" for number in range(in_flight)]

    async def walk(name: str) -> None:
        metadata = (("x-sequence-id", name),) if header else ()
        for _ in range(FEEDS[in_flight] // in_flight):
            await stub.Feed(_feed(name), metadata=metadata)

    async def drive() -> None:
        await _opened(stub, names)
        await asyncio.gather(*map(walk, names))

    return drive


def _stream(channel: grpc.aio.Channel, in_flight: int) -> Drive:
    async def drive() -> None:
        stream = FeedStream(channel, WORKLOAD.name, WORKLOAD.features)
        await stream.open(in_flight)
        for _ in range(FEEDS[in_flight] // in_flight):
            await stream.feed_all(in_flight)
        await stream.end_all()
        stream.close()

    return drive


def _feed(name: str) -> pb.FeedRequest:
    return pb.FeedRequest(model=WORKLOAD.name, sequence_id=name, inputs=STEP)


async def _opened(stub: Any, names: list[str]) -> None:
    await asyncio.gather(*(stub.Open(pb.OpenRequest(model=WORKLOAD.name, sequence_id=name, restart=True)) for name in names))


@asynccontextmanager
async def _channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
