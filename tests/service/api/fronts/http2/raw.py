"""A peer that sends what bytes it likes, and keeps the frames that come back. Answers nothing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.http2_frames import GOAWAY, PREFACE, Frame, cut, settings


class Raw:
    """Open it with `raw`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._data = b""
        self.frames: list[Frame] = []
        self.ended = False

    async def send(self, data: bytes) -> None:
        """As far as the server takes it; what it no longer takes is let go."""
        if self.ended:
            return
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            self.ended = True

    async def read(self) -> None:
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            data = b""
        self.ended = self.ended or not data
        self._data += data
        for frame in cut(self._data):
            self.frames.append(frame)
            self._data = self._data[9 + len(frame.payload) :]

    async def until(self, told: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not told():
                assert not self.ended, "the server has closed the connection"
                await self.read()

    async def until_ended(self) -> None:
        async with asyncio.timeout(60):
            while not self.ended:
                await self.read()

    @property
    def goodbyes(self) -> list[int]:
        """Error codes of GOAWAY."""
        return [frame.error_code for frame in self.frames if frame.kind == GOAWAY]

    def of(self, kind: int, stream_id: int) -> list[Frame]:
        return [frame for frame in self.frames if (frame.kind, frame.stream_id) == (kind, stream_id)]


@asynccontextmanager
async def raw(port: int, greeting: bytes = PREFACE + settings()) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = Raw(reader, writer)
    try:
        await peer.send(greeting)
        yield peer
    finally:
        writer.transport.abort()
