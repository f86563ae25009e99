"""Several calls accepted at a time, and none any more after the stop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest

from cellserve.service.api.fronts.grpc.acceptors import Acceptors

METHOD = "/some.Service/Method"


class Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers each call with what was sent, once as many as `together` are there."""

    def __init__(self, together: int) -> None:
        self.barrier = asyncio.Barrier(together)

    def service(self, details: Any) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            async with asyncio.timeout(60):
                await self.barrier.wait()
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_calls_are_accepted_and_answered_once_and_a_stop_ends_it() -> None:
    handlers = Handlers(together=40)
    server = grpc.aio.server(handlers=(handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    acceptors = Acceptors(server, (handlers,))
    acceptors.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD)
        sent = [str(number).encode() for number in range(40)]
        assert await asyncio.gather(*(call(each, timeout=60) for each in sent)) == sent
    await server.stop(0.5)
    async with asyncio.timeout(60):
        while acceptors.accepting:
            await asyncio.sleep(0.01)


async def test_a_release_without_the_parts_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    acceptors = Acceptors(object(), ())  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO):
        acceptors.start()
    assert not acceptors.accepting
    assert "one at a time" in caplog.text
