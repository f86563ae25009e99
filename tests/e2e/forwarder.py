"""A small proxy in front of replicas: unary calls by turns, and once more at the next replica where one does not answer.

Each call gets an x-request-id, the same at every attempt, as proxies do. Bytes go through as they are. Of this process only.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

_ATTEMPTS = 200
_PAUSE_SECONDS = 0.05
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class Forwarder(grpc.GenericRpcHandler):  # type: ignore[misc]
    """port: where it listens. answered: calls so far; again: attempts beyond the first."""

    def __init__(self, addresses: Sequence[str]) -> None:
        channels = [grpc.aio.insecure_channel(address, options=_RECONNECT) for address in addresses]
        self._channels = channels
        self._turns = itertools.cycle(channels)
        self.port = 0
        self.answered = self.again = 0

    def service(self, details: Any) -> Any:
        method = details.method

        async def forward(request: bytes, context: Any) -> bytes:
            return await self._forward(method, request, context)

        return grpc.unary_unary_rpc_method_handler(forward)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def _forward(self, method: str, request: bytes, context: Any) -> bytes:
        metadata = (("x-request-id", uuid.uuid4().hex),)
        for _ in range(_ATTEMPTS):
            call = next(self._turns).unary_unary(method)
            try:
                reply: bytes = await call(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    await context.abort(error.code(), error.details() or "")
                self.again += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self.answered += 1
                return reply
        await context.abort(grpc.StatusCode.UNAVAILABLE, f"nobody answered in {_ATTEMPTS} attempts")
        raise AssertionError("abort raises")


@asynccontextmanager
async def forwarding(addresses: Sequence[str]) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(addresses)
    server = grpc.aio.server(handlers=(forwarder,))
    forwarder.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield forwarder
    finally:
        await server.stop(None)
        await forwarder.close()
