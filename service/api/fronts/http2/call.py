"""One call of gRPC on a stream of HTTP/2: its handler, its deadline, its messages in and out, and how it ends.

The context that handlers see is the call itself. Knows no frames: a wire (connection.py) sends for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NoReturn, Protocol

import grpc

from cellserve.service.api.call_context import Metadata
from cellserve.service.api.fronts.http2 import headers
from cellserve.service.api.fronts.http2.headers import RequestHead, Unreadable
from cellserve.service.api.fronts.http2.incoming import IncomingMessages
from cellserve.service.api.fronts.http2.messages import MessageReader

_log = logging.getLogger(__name__)

_OK: Final = grpc.StatusCode.OK


class Unsendable(Exception):
    """A reply is larger than messages may be. str(error) is for the client."""


class Wire(Protocol):
    """What a call asks of its connection. Of a stream that is gone, everything is ignored."""

    peer: str

    def send_headers(self, stream_id: int, fields: headers.Fields) -> None: ...

    def send_message(self, stream_id: int, message: bytes) -> None: ...

    def send_trailers(self, stream_id: int, fields: headers.Fields) -> None: ...

    def send_unary(self, stream_id: int, message: bytes, trailers: headers.Fields) -> None: ...

    def send_only_trailers(self, stream_id: int, fields: headers.Fields) -> None: ...

    def acknowledge(self, stream_id: int, received_bytes: int) -> None: ...

    def ready(self, call: Call) -> None:
        """Its message has come; it is to be started when its turn comes."""

    async def room_to_send(self, stream_id: int) -> None:
        """Returns once little of what the call has sent waits for the client to take it."""


class Call:
    """On the event loop. Received: its messages by `feed`, their end by `end_of_messages`, the stream's end by `cut`."""

    __slots__ = (
        "_code",
        "_deadline_seconds",
        "_details",
        "_handler",
        "_head",
        "_headers_sent",
        "_incoming",
        "_loop",
        "_message",
        "_most_message_bytes",
        "_reader",
        "_stream_id",
        "_task",
        "_timer",
        "_trailing",
        "_wire",
        "is_over",
    )

    def __init__(
        self,
        wire: Wire,
        stream_id: int,
        head: RequestHead,
        most_message_bytes: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._wire = wire
        self._stream_id = stream_id
        self._head = head
        self._loop = loop
        self._most_message_bytes = most_message_bytes
        self._reader = MessageReader(head.encoding, most_message_bytes)
        self._handler: Any = None
        self._incoming: IncomingMessages | None = None
        self._message: bytes | None = None  # of a call that has one
        self._task: asyncio.Task[None] | None = None
        self._headers_sent = self.is_over = False
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: Metadata = ()
        self._deadline_seconds: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        if head.timeout_seconds is not None:
            self._deadline_seconds = loop.time() + head.timeout_seconds
            self._timer = loop.call_at(self._deadline_seconds, self._expire)

    @property
    def held_bytes(self) -> int:
        """Of messages that have come and not been taken, in part or whole."""
        incoming_bytes = 0 if self._incoming is None else self._incoming.held_bytes
        partial_bytes = 0 if self._reader is None else self._reader.held_bytes
        return partial_bytes + incoming_bytes + len(self._message or b"")

    @property
    def path(self) -> str:
        return self._head.path

    def waits_too_long(self, now_seconds: float) -> bool:
        """Whether half of its time is over, and it has not begun for want of its message."""
        timeout_seconds = self._head.timeout_seconds
        if self._task is not None or self.is_over or self._deadline_seconds is None or timeout_seconds is None:
            return False
        return now_seconds > self._deadline_seconds - timeout_seconds / 2

    # --- what comes ---

    def begin(self, handler: Any) -> None:
        """A handler of one message runs once that has come, one of a stream at once."""
        self._handler = handler
        if handler.request_streaming:
            self._incoming = IncomingMessages(self._reader, handler.request_deserializer, self._acknowledge, self._loop)
            self._run(self._incoming)

    def feed(self, data: bytes) -> None:
        try:
            if self._incoming is not None:
                self._incoming.feed(data)
                return
            self._acknowledge(len(data))
            messages = self._reader.feed(data)
        except Unreadable as error:
            self.refuse(error)
            return
        if len(messages) + (self._message is not None) > 1:
            self.refuse(Unreadable(grpc.StatusCode.UNIMPLEMENTED, "this method takes one message, and more have come"))
        elif messages:
            self._message = messages[0]

    def end_of_messages(self) -> None:
        try:
            if self._incoming is not None:
                self._incoming.end()
                return
            self._reader.end()
            if self._message is None:
                raise Unreadable(grpc.StatusCode.UNIMPLEMENTED, "this method takes one message, and none has come")
        except Unreadable as error:
            self.refuse(error)
            return
        self._wire.ready(self)

    def start(self) -> None:
        """The handler of its one message runs, unless the call is over."""
        message, self._message = self._message, None
        if not self.is_over:
            self._run(message)

    def cut(self) -> None:
        """The stream is gone: the client has cancelled the call, or the connection is lost."""
        self._end()
        if self._task is not None:
            self._task.cancel()

    def refuse(self, error: Unreadable) -> None:
        self.finish(error.code, str(error))
        if self._task is not None:
            self._task.cancel()

    def finish_as_told(self) -> None:
        """With the status that the context has been given."""
        self.finish(self._code or _OK, self._details, self._trailing)

    def finish(self, code: grpc.StatusCode, details: str, trailing: Metadata = ()) -> None:
        """Once; what comes later changes nothing."""
        if self.is_over:
            return
        self._code, self._details = code, details
        fields = headers.trailers(code, details, trailing)
        self._end()
        if self._headers_sent:
            self._wire.send_trailers(self._stream_id, fields)
        else:
            self._wire.send_only_trailers(self._stream_id, (*headers.REPLY_HEADERS, *fields))

    # --- the context ---

    def peer(self) -> str:
        return self._wire.peer

    def time_remaining(self) -> float | None:
        return None if self._deadline_seconds is None else max(0.0, self._deadline_seconds - self._loop.time())

    def invocation_metadata(self) -> Metadata:
        return self._head.metadata

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        self._send_headers(metadata)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self._trailing = metadata

    def trailing_metadata(self) -> Metadata:
        return self._trailing

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        self.finish(code, details, trailing_metadata or self._trailing)
        raise grpc.aio.AbortError("the call was aborted")

    # --- what runs ---

    def _run(self, request: Any) -> None:
        self._task = self._loop.create_task(self._answered(request))

    async def _answered(self, request: Any) -> None:
        handler = self._handler
        try:
            if handler.response_streaming:
                await self._streamed(handler.stream_stream or handler.unary_stream, request)
            else:
                await self._single(handler.stream_unary if handler.request_streaming else handler.unary_unary, request)
        except asyncio.CancelledError:
            self.finish(grpc.StatusCode.CANCELLED, "the server has cancelled the call")
        except grpc.aio.AbortError as abort:
            _log.debug("%s: %s", self._head.path, abort)
        except Unsendable as error:
            self.finish(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), self._trailing)
        except Exception:
            _log.exception("%s failed", self._head.path)
            self.finish(grpc.StatusCode.UNKNOWN, "the server failed to answer this call")
        finally:
            self._task = None  # no circle: the variables of its context may hold the call

    async def _single(self, behaviour: Callable[..., Any], request: Any) -> None:
        deserialize = self._handler.request_deserializer
        if deserialize is not None and not self._handler.request_streaming:
            request = deserialize(request)
        reply = await behaviour(request, self)
        if self._code is not None and self._code is not _OK:
            self.finish_as_told()
        elif not self.is_over:
            message = self._serialized(reply)
            fields = headers.trailers(_OK, self._details, self._trailing)
            self._end()
            if self._headers_sent:
                self._wire.send_message(self._stream_id, message)
                self._wire.send_trailers(self._stream_id, fields)
            else:
                self._wire.send_unary(self._stream_id, message, fields)

    async def _streamed(self, behaviour: Callable[..., AsyncIterator[Any]], request: Any) -> None:
        deserialize = self._handler.request_deserializer
        if deserialize is not None and not self._handler.request_streaming:
            request = deserialize(request)
        async for reply in behaviour(request, self):
            message = self._serialized(reply)
            self._send_headers(())
            self._wire.send_message(self._stream_id, message)
            await self._wire.room_to_send(self._stream_id)
        self.finish_as_told()

    def _serialized(self, reply: Any) -> bytes:
        """Raises Unsendable."""
        serialize = self._handler.response_serializer
        message: bytes = reply if serialize is None else serialize(reply)
        if not isinstance(message, bytes):
            raise TypeError(f"a reply of {self._head.path} was not made into bytes but into {type(message).__name__}")
        if len(message) > self._most_message_bytes:
            raise Unsendable(
                f"the reply has {len(message)} bytes, and at most {self._most_message_bytes} are sent; ask for less at a time"
            )
        return message

    def _send_headers(self, metadata: Metadata) -> None:
        if not self._headers_sent and not self.is_over:
            self._headers_sent = True
            written: Sequence[tuple[bytes, bytes]] = headers.write_metadata(metadata)
            self._wire.send_headers(self._stream_id, (*headers.REPLY_HEADERS, *written))

    def _acknowledge(self, received_bytes: int) -> None:
        self._wire.acknowledge(self._stream_id, received_bytes)

    def _expire(self) -> None:
        """The deadline has passed. The task sees so by what is left of the time."""
        self.finish(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline of the call has passed")
        if self._task is not None:
            self._task.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._message = None
        if self._timer is not None:  # no circles: what a call holds is given back at once
            self._timer.cancel()
            self._timer = None
        if self._incoming is not None:
            self._incoming.drop()
            self._incoming = None
