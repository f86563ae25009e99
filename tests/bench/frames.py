"""Messages between processes over a socket: pickled, each behind its length in eight bytes."""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

_HEADER_BYTES = 8
_RECEIVED_BYTES = 1 << 20


def framed(message: Any) -> bytes:
    body = pickle.dumps(message, 5)
    return len(body).to_bytes(_HEADER_BYTES, "little") + body


class Frames:
    """Puts messages together from whatever pieces come."""

    def __init__(self) -> None:
        self._received = bytearray()

    def messages(self, piece: bytes) -> Iterator[Any]:
        self._received += piece
        while len(self._received) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._received[:_HEADER_BYTES], "little")
            if len(self._received) < end:
                return
            yield pickle.loads(self._received[_HEADER_BYTES:end])
            del self._received[:end]


class Wire(asyncio.Protocol):
    """The event loop's end of the socket. take: called with each message."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        for message in self._frames.messages(data):
            self._take(message)


def received(end: socket.socket) -> Iterator[Any]:
    """Every message until the other end is closed; waits for each."""
    frames = Frames()
    with suppress(ConnectionResetError):  # closed while messages were under way
        while piece := end.recv(_RECEIVED_BYTES):
            yield from frames.messages(piece)
