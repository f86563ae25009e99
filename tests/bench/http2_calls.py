"""Unary calls of gRPC over one HTTP/2 connection, at a tenth of what grpc.aio's client costs: so that a generator that shares
the cores of its server is not what is measured. Knows no messages.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ngh2

_WINDOW_BYTES = 1 << 24


@dataclass
class Reply:
    """code: the number of the gRPC status; trailers: values of -bin keys are decoded."""

    code: int
    trailers: dict[str, bytes]


@dataclass
class _Call:
    answered: asyncio.Future[Reply]
    trailers: dict[str, bytes] = field(default_factory=dict)


DEADLINE_EXCEEDED = 4
UNAVAILABLE = 14


class Connection(asyncio.Protocol):
    """`await connect(...)` makes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = ngh2.Connection(ngh2.Role.CLIENT)
        self._calls: dict[int, _Call] = {}
        self._transport: Any = None
        self._flushing = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._session.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: _WINDOW_BYTES})
        self._session.set_local_window_size(_WINDOW_BYTES)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._session.receive_data(data)
        for event in self._session.events():
            if isinstance(event, ngh2.ResponseReceived | ngh2.TrailersReceived):
                call = self._calls.get(event.stream_id)
                if call is not None:
                    call.trailers |= {key.decode(): value for key, value in event.headers}
            elif isinstance(event, ngh2.StreamClosed):
                self._close(event.stream_id)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        for stream_id in list(self._calls):
            self._close(stream_id)

    async def call(self, path: str, message: bytes, timeout_seconds: float, metadata: Sequence[tuple[str, str]] = ()) -> Reply:
        """A deadline that passes here ends the call here, as in every client."""
        fields = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"bench"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"%dm" % max(1, round(timeout_seconds * 1e3))),
            *[(key.encode(), value.encode()) for key, value in metadata],
        ]
        stream_id = self._session.send_request(fields)
        self._session.send_data(stream_id, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        answered = self._loop.create_future()
        self._calls[stream_id] = _Call(answered)
        late = self._loop.call_later(timeout_seconds, self._expire, stream_id)
        try:
            reply: Reply = await answered
        finally:
            late.cancel()
        return reply

    def close(self) -> None:
        self._transport.close()

    def _expire(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is not None:
            self._session.reset_stream(stream_id)
            self._flush()
            call.answered.set_result(Reply(DEADLINE_EXCEEDED, {}))

    def _close(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is None or call.answered.done():
            return
        code = int(call.trailers.get("grpc-status", b"%d" % UNAVAILABLE))
        trailers = {key: _decoded(key, value) for key, value in call.trailers.items()}
        call.answered.set_result(Reply(code, trailers))

    def _flush(self) -> None:
        self._flushing = False
        if data := self._session.data_to_send():
            self._transport.write(data)


async def connect(address: str) -> Connection:
    """address: "host:port"."""
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    return connection


def _decoded(key: str, value: bytes) -> bytes:
    return b64decode(value + b"=" * (-len(value) % 4)) if key.endswith("-bin") else value
