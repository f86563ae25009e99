"""The messages of a call: cut out of the bytes of a stream, unpacked, and packed. Pure: knows no stream and no protobuf.

Each message is a flag (whether it is compressed), its length in four bytes, and itself. A message that is too large is refused
as soon as its length is known, a compressed one as soon as it has grown too large.
"""

from __future__ import annotations

import zlib
from typing import Final

import grpc

from cellserve.service.api.fronts.http2.headers import Unreadable

PREFIX_BYTES: Final = 5
_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}  # as zlib tells the two containers apart


def prefix(message_bytes: int) -> bytes:
    """What goes before a message that is not compressed."""
    return b"\0" + message_bytes.to_bytes(4, "big")


class MessageReader:
    """Of one stream. encoding: of those messages that say they are compressed."""

    __slots__ = ("_buffer", "_encoding", "_most_bytes", "_wanted_bytes")

    def __init__(self, encoding: bytes, most_bytes: int) -> None:
        self._encoding = encoding
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._wanted_bytes = 0  # of the message that has begun, with its prefix; 0 until its length is known

    @property
    def held_bytes(self) -> int:
        """Of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now. Raises Unreadable."""
        if not self._buffer and len(data) >= PREFIX_BYTES:  # as nearly all come
            if not data[0] and len(data) == PREFIX_BYTES + int.from_bytes(data[1:PREFIX_BYTES], "big") <= self._most_bytes:
                return [data[PREFIX_BYTES:]]
            self._begin(data)
            if len(data) == self._wanted_bytes:
                self._wanted_bytes = 0
                return [self._unpacked(data[0], data[PREFIX_BYTES:])]
        self._buffer += data
        messages: list[bytes] = []
        while True:
            if not self._wanted_bytes:
                if len(self._buffer) < PREFIX_BYTES:
                    return messages
                self._begin(self._buffer)
            if len(self._buffer) < self._wanted_bytes:
                return messages
            message = bytes(memoryview(self._buffer)[PREFIX_BYTES : self._wanted_bytes])
            messages.append(self._unpacked(self._buffer[0], message))
            del self._buffer[: self._wanted_bytes]
            self._wanted_bytes = 0

    def end(self) -> None:
        """The stream has no more bytes. Raises Unreadable if it ended within a message."""
        if self._buffer:
            raise Unreadable(grpc.StatusCode.INVALID_ARGUMENT, "the call's messages ended in the middle of one; send it whole")

    def _begin(self, data: bytes | bytearray) -> None:
        flag, length = data[0], int.from_bytes(data[1:PREFIX_BYTES], "big")
        if flag > 1:
            raise Unreadable(grpc.StatusCode.INTERNAL, f"a message begins with the flag {flag}, which is neither 0 nor 1")
        if length > self._most_bytes:
            raise self._too_large(f"{length}")
        self._wanted_bytes = PREFIX_BYTES + length

    def _unpacked(self, flag: int, message: bytes) -> bytes:
        if not flag:
            return message
        window = _WINDOW_BITS.get(self._encoding)
        if window is None:
            raise Unreadable(
                grpc.StatusCode.UNIMPLEMENTED if self._encoding != b"identity" else grpc.StatusCode.INTERNAL,
                f"a message is compressed with {self._encoding[:32].decode('ascii', 'replace')!r}; "
                "this server reads gzip and deflate",
            )
        decompressor = zlib.decompressobj(window)
        try:
            unpacked = decompressor.decompress(message, self._most_bytes + 1)
        except zlib.error as error:
            raise Unreadable(grpc.StatusCode.INTERNAL, "a compressed message is damaged") from error
        if len(unpacked) > self._most_bytes:
            raise self._too_large(f"unpacked more than {self._most_bytes}")
        if not decompressor.eof:
            raise Unreadable(grpc.StatusCode.INTERNAL, "a compressed message is damaged: it ends early")
        return unpacked

    def _too_large(self, size: str) -> Unreadable:
        return Unreadable(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"a message has {size} bytes, and at most {self._most_bytes} are read; send it in parts, or ask for a higher limit",
        )
