"""Requests of many callers on one open stream, for AsyncClient: a message there costs less than a call of its own.

A stream is opened by the first request and, after it broke, by the next one. What was in flight on it fails with StreamBroken
and may be sent again: a Run has no effect but its reply. Knows no retries and no models.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import grpc

from cellserve.service.client_errors import FailedCall, MethodMissing, ServiceUnavailable, mirrored, mirrored_message
from cellserve.service.errors import Cancelled, DeadlineExpired, ServiceError
from cellserve.service.pb import cellserve_pb2 as pb

_SERVERS_TURN_SECONDS = 1.0  # after the deadline: for the server's own word that the time is over


class StreamBroken(ServiceUnavailable):
    """The stream ended before the answer came."""

    reason = "STREAM_BROKEN"


class OpenCall(Protocol):
    """What grpc.aio gives for a stream."""

    def read(self) -> Awaitable[Any]: ...

    def write(self, request: pb.StreamRequest) -> Awaitable[None]: ...

    def cancel(self) -> bool: ...


class AsyncStream:
    """Lives on one event loop. open_call: begins an rpc of Sequences.Stream. target: the server, for error messages."""

    def __init__(self, open_call: Callable[[], OpenCall], target: str) -> None:
        self._open_call = open_call
        self._target = target
        self._exchange: _Exchange | None = None

    async def run(self, request: pb.RunRequest, timeout_seconds: float) -> pb.RunReply:
        """Raises ServiceError: what the server says, DeadlineExpired, StreamBroken, MethodMissing (no streams there)."""
        if self._exchange is None or self._exchange.over:
            self._exchange = _Exchange(self._open_call(), self._target)
        return await self._exchange.ask(request, timeout_seconds)

    async def close(self) -> None:
        if self._exchange is not None:
            await self._exchange.close()


class _Exchange:
    """One open rpc. Two tasks of its own read and write: a caller that is cancelled must not take the stream with it."""

    def __init__(self, call: OpenCall, target: str) -> None:
        self.over = False
        self._call = call
        self._target = target
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[pb.RunReply]] = {}
        self._outgoing: asyncio.Queue[pb.StreamRequest] = asyncio.Queue()
        self._tasks = (asyncio.create_task(self._read()), asyncio.create_task(self._write()))

    async def ask(self, request: pb.RunRequest, timeout_seconds: float) -> pb.RunReply:
        given = str(next(self._numbers))
        answer: asyncio.Future[pb.RunReply] = asyncio.get_running_loop().create_future()
        self._waiting[given] = answer
        self._outgoing.put_nowait(pb.StreamRequest(id=given, timeout_seconds=timeout_seconds, run=request))
        try:
            async with asyncio.timeout(timeout_seconds + _SERVERS_TURN_SECONDS):
                return await answer
        except TimeoutError as error:
            raise DeadlineExpired(f"no answer from {self._target} within the time given") from error
        finally:
            if self._waiting.pop(given, None) is not None and not self.over:
                self._outgoing.put_nowait(pb.StreamRequest(id=given, cancel=pb.Cancel()))

    async def close(self) -> None:
        self._end(Cancelled("the client was closed"))
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            try:
                await self._call.write(await self._outgoing.get())
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
            self._tasks[1].cancel()

    def _take(self, reply: pb.StreamReply) -> None:
        answer = self._waiting.pop(reply.id, None)
        if answer is None or answer.done():
            return
        if reply.WhichOneof("result") == "run":
            answer.set_result(reply.run)
        else:
            answer.set_exception(mirrored_message(reply.error, reply.request_id))

    def _end(self, error: ServiceError) -> None:
        self.over = True
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(error)


def _broken(error: ServiceError) -> ServiceError:
    """What befell the stream is not the fault of each request on it, unless there are no streams at all."""
    if isinstance(error, MethodMissing):
        return error
    broken = StreamBroken(str(error), retry_after_seconds=error.retry_after_seconds)
    broken.request_id = error.request_id
    return broken
