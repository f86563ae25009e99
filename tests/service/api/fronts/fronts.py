"""A front over scripted methods, on a port of the system's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from cellserve.service.api.facts import ConnectionFact
from cellserve.service.api.fronts.choice import front_of
from cellserve.service.api.fronts.options import ServerOptions
from tests.service.api.fronts.calls import ScriptedCalls, usual

MOST_BYTES = 16 * 1024 * 1024


@dataclass
class Served:
    calls: ScriptedCalls
    front: Any
    port: int
    connections: list[ConnectionFact]

    @property
    def ends(self) -> list[str]:
        """Of connections, in order."""
        return [fact.end for fact in self.connections if fact.end is not None]

    def has_begun(self, number: int) -> bool:
        return len(self.calls.begun) >= number

    @asynccontextmanager
    async def channel(self, **options: Any) -> AsyncIterator[grpc.aio.Channel]:
        """options: of gRPC, with _ for the dots after `grpc`."""
        given = [("grpc." + name, value) for name, value in options.items()]
        given += [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=given) as channel:
            yield channel


class Watching:
    """A Watcher that remembers."""

    def __init__(self) -> None:
        self.connections: list[ConnectionFact] = []

    def on_connection(self, fact: ConnectionFact) -> None:
        self.connections.append(fact)


@asynccontextmanager
async def serving(front: str = "http2", calls: ScriptedCalls | None = None, **options: Any) -> AsyncIterator[Served]:
    """options: of ServerOptions."""
    calls = calls or usual()
    watcher = Watching()
    chosen = ServerOptions(**({"host": "127.0.0.1", "port": 0, "max_message_bytes": MOST_BYTES, "front": front} | options))
    made = front_of(calls, chosen, watcher)
    port = made.bind()
    await made.start()
    try:
        yield Served(calls, made, port, watcher.connections)
    finally:
        calls.told_of_rest.set()
        await made.stop(0.3)


async def until(told: Callable[[], bool], what: str = "") -> None:
    """Waits for a condition; the limit only keeps a broken test from hanging."""
    async with asyncio.timeout(60):
        while not told():
            await asyncio.sleep(0.003)
