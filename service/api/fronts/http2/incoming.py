"""The messages that a call receives while it runs, one after the other, and the window of its stream.

What has been received counts against the window of the stream until nothing whole waits to be taken: whoever answers slowly
is sent no more than a window ahead. Knows no HTTP/2 but how much it has received.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from cellserve.service.api.fronts.http2.messages import MessageReader

Parse = Callable[[bytes], Any]


class IncomingMessages:
    """For one task to iterate. parse: None gives the bytes. acknowledge: lets the client send as many bytes more."""

    __slots__ = ("_acknowledge", "_ended", "_held_bytes", "_loop", "_parse", "_reader", "_waiter", "_waiting")

    def __init__(
        self, reader: MessageReader, parse: Parse | None, acknowledge: Callable[[int], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._reader = reader
        self._parse = parse
        self._acknowledge = acknowledge
        self._loop = loop
        self._waiting: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._held_bytes = 0
        self._ended = False

    @property
    def held_bytes(self) -> int:
        """Of whole messages that nobody has taken."""
        return sum(map(len, self._waiting))

    def feed(self, data: bytes) -> None:
        """Raises Unreadable."""
        self._held_bytes += len(data)
        self._waiting += self._reader.feed(data)
        if self._waiting:
            self._wake()
        else:
            self._release()

    def end(self) -> None:
        """The client sends no more. Raises Unreadable."""
        self._ended = True
        self._reader.end()
        self._wake()

    def drop(self) -> None:
        """Nobody takes any more of them."""
        self._ended = True
        self._waiting.clear()
        self._release()

    def __aiter__(self) -> IncomingMessages:
        return self

    async def __anext__(self) -> Any:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._waiting.popleft()
        if not self._waiting:
            self._release()
        return message if self._parse is None else self._parse(message)

    def _release(self) -> None:
        held_bytes, self._held_bytes = self._held_bytes, 0
        if held_bytes:
            self._acknowledge(held_bytes)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
