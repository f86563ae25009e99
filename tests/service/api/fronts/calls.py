"""Methods for a front alone: plain bytes in and out, with a word on how each behaves. The seam's Calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from cellserve.service.api.call_context import Caller, Ending

Behaviour = Callable[..., Any]


class ScriptedCalls:
    """Methods by name, which tests add to. begun, cancelled, ended: names, as they happened."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.contexts: list[Any] = []
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.ended: list[str] = []
        self.closed = False  # whether calls are turned away
        self.told_of_rest = asyncio.Event()  # whoever rests goes on

    # --- the seam ---

    def handler(self, name: str) -> Any:
        return self.handlers.get(name)

    def gated(self, name: str) -> bool:
        return self.closed

    def not_offered(self, name: str) -> Ending:
        return Ending(grpc.StatusCode.UNIMPLEMENTED, f"there is no {name}", ())

    def given_up(self, name: str) -> Ending | None:
        return Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, "too late", ()) if self.closed else None

    def let_in(self, name: str, caller: Caller, waited_seconds: float = 0.0) -> Ending:
        return Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", (("why", "closed"),))

    # --- what tests add ---

    def unary(self, name: str, behaviour: Behaviour) -> None:
        self.handlers[name] = grpc.unary_unary_rpc_method_handler(self._watched(name, behaviour))

    def stream(self, name: str, behaviour: Behaviour) -> None:
        self.handlers[name] = grpc.stream_stream_rpc_method_handler(self._watched_stream(name, behaviour))

    def server_stream(self, name: str, behaviour: Behaviour) -> None:
        self.handlers[name] = grpc.unary_stream_rpc_method_handler(self._watched_stream(name, behaviour))

    def client_stream(self, name: str, behaviour: Behaviour) -> None:
        self.handlers[name] = grpc.stream_unary_rpc_method_handler(self._watched(name, behaviour))

    def _watched(self, name: str, behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: Any) -> Any:
            self._begin(name, context)
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self.ended.append(name)

        return call

    def _watched_stream(self, name: str, behaviour: Behaviour) -> Behaviour:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            self._begin(name, context)
            try:
                async for reply in behaviour(request, context):
                    yield reply
            except (asyncio.CancelledError, GeneratorExit):
                self.cancelled.append(name)
                raise
            finally:
                self.ended.append(name)

        return call

    def _begin(self, name: str, context: Any) -> None:
        self.begun.append(name)
        self.contexts.append(context)


def usual() -> ScriptedCalls:
    """Echo (unary), Echoes (a stream), Size and Zeros (much in, much out), Many (replies), Count (requests), Rest and Rests."""
    calls = ScriptedCalls()

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def echoes(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def size(request: bytes, context: Any) -> bytes:
        return str(len(request)).encode()

    async def zeros(request: bytes, context: Any) -> bytes:
        return bytes(int(request))

    async def many(request: bytes, context: Any) -> AsyncIterator[bytes]:
        number, size_bytes = map(int, request.split())
        for _ in range(number):
            yield bytes(size_bytes)

    async def count(requests: AsyncIterator[bytes], context: Any) -> bytes:
        return str(len([request async for request in requests])).encode()

    async def rest(request: bytes, context: Any) -> bytes:
        await calls.told_of_rest.wait()
        return b"rested"

    async def rests(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        yield b"begun"
        await calls.told_of_rest.wait()
        yield b"rested"

    calls.unary("/s.S/Echo", echo)
    calls.stream("/s.S/Echoes", echoes)
    calls.unary("/s.S/Size", size)
    calls.unary("/s.S/Zeros", zeros)
    calls.server_stream("/s.S/Many", many)
    calls.client_stream("/s.S/Count", count)
    calls.unary("/s.S/Rest", rest)
    calls.stream("/s.S/Rests", rests)
    return calls
