"""A client whose every frame a test decides: ngh2's session over a real socket. Windows are opened by hand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import ngh2

from tests.http2_frames import message

CALL = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"server"))
GRPC = ((b"te", b"trailers"), (b"content-type", b"application/grpc"))


@dataclass
class Stream:
    """What the server has sent on one."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    reset: int | None = None
    closed: bool = False
    ended: bool = False

    @property
    def status(self) -> int | None:
        """gRPC's, wherever it stands."""
        text = self.trailers.get(b"grpc-status", self.headers.get(b"grpc-status"))
        return None if text is None else int(text)

    @property
    def messages(self) -> list[bytes]:
        found, data = [], self.data
        while data:
            length = int.from_bytes(data[1:5], "big")
            found.append(data[5 : 5 + length])
            data = data[5 + length :]
        return found


class Client:
    """Open it with `connected`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, taking: bool) -> None:
        self._reader = reader
        self._writer = writer
        self.session = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=taking, max_outbound_ack=100_000))
        self.streams: defaultdict[int, Stream] = defaultdict(Stream)
        self.goaways: list[Any] = []
        self.pings = 0
        self.answered_pings = 0
        self.ended = False  # the server has closed the connection

    def call(self, path: bytes, data: bytes | None = None, *more: tuple[bytes, bytes], end: bool = True) -> int:
        """Its stream. data: its one message; None: none yet."""
        stream_id = self.session.send_request((*CALL, (b":path", path), *GRPC, *more), end_stream=False)
        if data is not None:
            self.session.send_data(stream_id, message(data), end_stream=end)
        self.flush()
        return stream_id

    def request(self, *fields: tuple[bytes, bytes], end: bool = True) -> int:
        """Any request of HTTP/2."""
        stream_id = self.session.send_request(fields, end_stream=end)
        self.flush()
        return stream_id

    def send(self, stream_id: int, data: bytes, end: bool = False) -> None:
        self.session.send_data(stream_id, data, end_stream=end)
        self.flush()

    def reset(self, stream_id: int) -> None:
        self.session.reset_stream(stream_id, ngh2.ErrorCode.CANCEL)
        self.flush()

    def ping(self) -> None:
        self.session.ping()
        self.flush()

    def take(self, stream_id: int, amount: int) -> None:
        """Opens the windows by what was taken."""
        self.session.acknowledge_received_data(amount, stream_id)
        self.flush()

    def flush(self) -> None:
        while data := self.session.data_to_send():
            self._writer.write(data)

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def cut(self) -> None:
        """The connection is lost without a word."""
        self._writer.transport.abort()

    async def read(self) -> None:
        """Takes in what comes next."""
        data = await self._reader.read(1 << 16)
        if not data:
            self.ended = True
            return
        self.session.receive_data(data)
        self._take_events()
        self.flush()
        self._take_events()

    async def until(self, told: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not told():
                assert not self.ended, "the server has closed the connection"
                await self.read()

    async def reply(self, stream_id: int) -> Stream:
        stream = self.streams[stream_id]
        await self.until(lambda: stream.closed)
        return stream

    async def answer(self, path: bytes, data: bytes, *more: tuple[bytes, bytes]) -> Stream:
        return await self.reply(self.call(path, data, *more))

    async def until_ended(self) -> None:
        async with asyncio.timeout(60):
            while not self.ended:
                try:
                    await self.read()
                except (ConnectionError, ngh2.NGH2Error):
                    self.ended = True

    def _take_events(self) -> None:
        for event in self.session.events():
            match event:
                case ngh2.ResponseReceived():
                    self.streams[event.stream_id].headers = dict(event.headers)
                    self.streams[event.stream_id].ended = event.end_stream
                case ngh2.DataReceived():
                    self.streams[event.stream_id].data += event.data
                    self.streams[event.stream_id].ended = event.end_stream
                case ngh2.TrailersReceived():
                    self.streams[event.stream_id].trailers = dict(event.headers)
                    self.streams[event.stream_id].ended = True
                case ngh2.StreamReset():
                    self.streams[event.stream_id].reset = event.error_code
                case ngh2.StreamClosed():
                    self.streams[event.stream_id].closed = True
                case ngh2.GoAwayReceived():
                    self.goaways.append(event)
                case ngh2.PingReceived():
                    self.pings += 1
                case ngh2.PingAcknowledged():
                    self.answered_pings += 1


@asynccontextmanager
async def connected(port: int, settings: dict[Any, int] | None = None, taking: bool = True) -> AsyncIterator[Client]:
    """taking: opens windows by itself as data come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Client(reader, writer, taking)
    client.session.initiate_connection(settings or {})
    client.flush()
    try:
        yield client
    finally:
        writer.transport.abort()
