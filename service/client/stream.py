"""Requests of many callers on one open stream, for AsyncClient: a message there costs less than a call of its own.

A stream is opened by the first request and, after it broke, by the next one. What was in flight on it fails with StreamBroken
and may be sent again: a Run has no effect but its reply, and a feed that carries its position is applied once. Knows no retries
and no models.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, cast

import grpc

from cellserve.service.client.errors import (
    BadReply,
    FailedCall,
    MethodMissing,
    ServerNotTrusted,
    ServiceUnavailable,
    mirrored,
    mirrored_message,
)
from cellserve.service.errors import AccessDenied, Cancelled, DeadlineExpired, ServiceError
from cellserve.service.pb import cellserve_pb2 as pb

_SERVERS_TURN_SECONDS = 1.0  # after the deadline: for the server's own word that the time is over


class StreamBroken(ServiceUnavailable):
    """The stream ended before the answer came."""

    reason = "STREAM_BROKEN"


class OpenCall(Protocol):
    """What grpc.aio gives for a stream."""

    def read(self) -> Awaitable[Any]: ...

    def write(self, request: pb.StreamRequest) -> Awaitable[None]: ...

    def done_writing(self) -> Awaitable[None]: ...

    def cancel(self) -> bool: ...

    def done(self) -> bool: ...

    def initial_metadata(self) -> Awaitable[Any]: ...


class AsyncStream:
    """Lives on one event loop. open_call: begins an rpc of Sequences.Stream. target: the server, for error messages."""

    def __init__(self, open_call: Callable[[], OpenCall], target: str) -> None:
        self._open_call = open_call
        self._target = target
        self._exchange: _Exchange | None = None

    async def ask(self, action: str, request: Any, timeout_seconds: float) -> Any:
        """The reply to `request`, which is the field `action` of a StreamRequest. Written in the order of the calls.

        Raises ServiceError: what the server says, DeadlineExpired, StreamBroken, MethodMissing (no streams there).
        """
        if self._exchange is None or self._exchange.over:
            self._exchange = _Exchange(self._open_call(), self._target)
        return await self._exchange.ask(action, request, timeout_seconds)

    async def close(self) -> None:
        """Keeps nothing of the call: gRPC's connection stays open for as long as anybody has one that went over it."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()


class _Exchange:
    """One open rpc. Two tasks of its own read and write: a caller that is cancelled must not take the stream with it."""

    def __init__(self, call: OpenCall, target: str) -> None:
        self.over = False
        self._call = call
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._outgoing: asyncio.Queue[pb.StreamRequest | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())
        self._writer = asyncio.create_task(self._write())

    async def ask(self, action: str, request: Any, timeout_seconds: float) -> Any:
        given = str(next(self._numbers))
        ends_seconds = self._loop.time() + timeout_seconds + _SERVERS_TURN_SECONDS
        waiting = self._waiting[given] = _Waiting(self._loop.create_future(), ends_seconds)
        self._outgoing.put_nowait(pb.StreamRequest(id=given, timeout_seconds=timeout_seconds, **{action: request}))
        self._set_alarm(ends_seconds)
        try:
            return await waiting.answer
        finally:
            if self._waiting.pop(given, None) is not None and not self.over:
                self._outgoing.put_nowait(pb.StreamRequest(id=given, cancel=pb.Cancel()))

    async def close(self) -> None:
        """In good order where nothing is in flight."""
        if not self._waiting and not self.over:
            self._outgoing.put_nowait(None)
            await asyncio.wait((self._reader,), timeout=_SERVERS_TURN_SECONDS)
        self._end(Cancelled("the client was closed"))
        self._call.cancel()
        await asyncio.gather(self._reader, self._writer, return_exceptions=True)

    async def _write(self) -> None:
        try:
            await self._call.initial_metadata()  # a write to a call that the server refuses would hide the refusal's status
            while not self._call.done() and (request := await self._outgoing.get()) is not None:
                await self._call.write(request)
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # over; why, is what reading tells

    async def _read(self) -> None:
        try:
            while (reply := await self._call.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                self._take(reply)
            self._end(StreamBroken(f"{self._target} ended the stream before everything was answered"))
        except grpc.RpcError as failure:
            self._end(_broken(mirrored(cast(FailedCall, failure), self._target)))
        finally:
            self._writer.cancel()

    def _take(self, reply: pb.StreamReply) -> None:
        waiting = self._waiting.pop(reply.id, None)
        if waiting is None or waiting.answer.done():
            return
        result = reply.WhichOneof("result")
        if result is None:
            waiting.answer.set_exception(BadReply(f"{self._target} answered with nothing that this client knows"))
        elif result == "error":
            waiting.answer.set_exception(mirrored_message(reply.error, reply.request_id))
        else:
            waiting.answer.set_result(getattr(reply, result))

    def _end(self, error: ServiceError) -> None:
        self.over = True
        if self._alarm is not None:
            self._alarm.cancel()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    def _set_alarm(self, ends_seconds: float) -> None:
        """One timer, for the earliest end: a timer for each request would cost more than the request's message."""
        if self._alarm is not None and self._alarm.when() <= ends_seconds:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(ends_seconds, self._end_the_late)

    def _end_the_late(self) -> None:
        self._alarm = None
        for waiting in self._waiting.values():
            if waiting.answer.done():
                continue
            if waiting.ends_seconds > self._loop.time():
                self._set_alarm(waiting.ends_seconds)
            else:
                waiting.answer.set_exception(DeadlineExpired(f"no answer from {self._target} within the time given"))


class _Waiting(NamedTuple):
    """One request in flight. ends_seconds: on the event loop's clock."""

    answer: asyncio.Future[Any]
    ends_seconds: float


def _broken(error: ServiceError) -> ServiceError:
    """What befell the stream is not the fault of each request on it, unless there can be none (for this caller) at all."""
    if isinstance(error, MethodMissing | AccessDenied | ServerNotTrusted):
        return error
    broken = StreamBroken(f"the stream broke: {error}", retry_after_seconds=error.retry_after_seconds)
    broken.request_id = error.request_id
    return broken
