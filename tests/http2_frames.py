"""HTTP/2 frames as bytes, made by hand, for peers that keep to no rules; and calls of gRPC made of them. Knows no library.

Headers are written without compression (RFC 7541, literal fields that are not indexed): any frame can be understood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
CANCEL: Final = 0x8
HEAD_BYTES: Final = 9


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def number(self) -> int:
        """What a reset carries, or a window's update."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def error_code(self) -> int:
        """What a GOAWAY carries."""
        return int.from_bytes(self.payload[4:8], "big")


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def reset(stream_id: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def field(name: bytes, value: bytes) -> bytes:
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def head(path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """The block of headers of a call."""
    usual = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"server"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    return b"".join(field(*each) for each in (*usual, *more))


def message(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


def begun(stream_id: int, path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    return frame(HEADERS, END_HEADERS, stream_id, head(path, *more))


def call(stream_id: int, path: bytes, data: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A call of one message, whole."""
    return begun(stream_id, path, *more) + frame(DATA, END_STREAM, stream_id, message(data))


def cut(data: bytes) -> Iterator[Frame]:
    """The whole frames at the front of what a peer has sent."""
    while len(data) >= HEAD_BYTES:
        length = int.from_bytes(data[:3], "big")
        if len(data) < HEAD_BYTES + length:
            return
        stream_id = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
        yield Frame(data[3], data[4], stream_id, data[HEAD_BYTES : HEAD_BYTES + length])
        data = data[HEAD_BYTES + length :]


def joined(frames: Iterable[Frame]) -> bytes:
    return b"".join(frame(*each) for each in frames)


def _length(number: int) -> bytes:
    if number < 127:
        return bytes([number])
    rest, written = number - 127, bytearray([127])
    while rest >= 128:
        written.append(rest % 128 + 128)
        rest //= 128
    written.append(rest)
    return bytes(written)
