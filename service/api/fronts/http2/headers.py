"""The headers and trailers of gRPC over HTTP/2, read and written. Pure: knows no stream and no messages.

Source: the gRPC project's "gRPC over HTTP2" protocol description.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

import grpc

Fields = Sequence[tuple[bytes, bytes]]

CONTENT_TYPE: Final = b"application/grpc"
ACCEPTED_ENCODINGS: Final = (b"grpc-accept-encoding", b"identity,deflate,gzip")
REPLY_HEADERS: Final = ((b":status", b"200"), (b"content-type", CONTENT_TYPE), ACCEPTED_ENCODINGS)

_UNIT_SECONDS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST_DIGITS: Final = 8
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")  # of a status message
_RESERVED: Final = frozenset((b"te", b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"))
_BINARY: Final = b"-bin"
_FURTHER_TYPES: Final = (CONTENT_TYPE + b"+", CONTENT_TYPE + b";")  # and not gRPC-Web, whose trailers are otherwise
_MOST_METADATA_BYTES: Final = 16_384  # as much as gRPC's own server takes; a field counts 32 more, as HTTP/2 has it
_FIELD_BYTES: Final = 32
_STATUSES: Final = {code: (b"grpc-status", b"%d" % code.value[0]) for code in grpc.StatusCode}
_MOST_KNOWN: Final = 8  # heads of calls that a connection remembers
_REMEMBERED_BYTES: Final = 1024  # of each


class NotGrpc(Exception):
    """A request of HTTP/2 that is none of gRPC's. status: of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Unreadable(Exception):
    """A call that ends with `code` before it has begun."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestHead(NamedTuple):
    """path: "/package.Service/Method". timeout_seconds: None without a deadline. encoding: of compressed messages."""

    path: str
    timeout_seconds: float | None
    encoding: bytes
    metadata: tuple[tuple[str, str | bytes], ...]


class HeadReader:
    """Of one connection, whose calls mostly say the same: what they say is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[bytes, bytes], ...], RequestHead] = {}

    def read(self, fields: Fields) -> RequestHead:
        """As `read_head`."""
        said = tuple(fields)
        head = self._known.get(said)
        if head is None:
            head = read_head(said)
            if sum([len(name) + len(value) for name, value in said]) <= _REMEMBERED_BYTES:
                if len(self._known) == _MOST_KNOWN:
                    self._known.clear()
                self._known[said] = head
        return head


def read_head(fields: Fields) -> RequestHead:
    """Raises NotGrpc, Unreadable."""
    head = dict(fields)
    if head.get(b":method") != b"POST":
        raise NotGrpc(405)
    content_type = head.get(b"content-type", b"")
    if content_type != CONTENT_TYPE and not content_type.startswith(_FURTHER_TYPES):
        raise NotGrpc(415)
    timeout = head.get(b"grpc-timeout")
    return RequestHead(
        head.get(b":path", b"").decode("ascii", "replace"),
        None if timeout is None else _timeout_seconds(timeout),
        head.get(b"grpc-encoding", b"identity"),
        _metadata(fields),
    )


def trailers(code: grpc.StatusCode, message: str, metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that end a call."""
    written = [_STATUSES[code]]
    if message:
        written.append((b"grpc-message", _percent_encoded(message)))
    return written + write_metadata(metadata)


@lru_cache(maxsize=512)  # most of a storm's refusals say the same
def _percent_encoded(message: str) -> bytes:
    return quote(message, safe=_PLAIN).encode()


def write_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    return [(key.encode("ascii"), _written(key, value)) for key, value in metadata]


def _timeout_seconds(text: bytes) -> float:
    digits, unit = text[:-1], _UNIT_SECONDS.get(text[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise Unreadable(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"grpc-timeout {text[:32]!r} is no deadline; give up to {_MOST_DIGITS} digits and one of H, M, S, m, u, n",
        )
    return int(digits) * unit


def _metadata(fields: Fields) -> tuple[tuple[str, str | bytes], ...]:
    found: list[tuple[str, str | bytes]] = []
    size_bytes = 0
    for name, value in fields:
        if name[:1] == b":" or name in _RESERVED:
            continue
        size_bytes += len(name) + len(value) + _FIELD_BYTES
        key = name.decode("ascii", "replace")
        if name.endswith(_BINARY):
            found += [(key, _decoded(key, part)) for part in value.split(b",")]  # values may be joined on their way
        else:
            found.append((key, value.decode("ascii", "replace")))
    if size_bytes > _MOST_METADATA_BYTES:
        raise Unreadable(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"the metadata of the call takes {size_bytes} bytes, and at most {_MOST_METADATA_BYTES} are read; send less of it",
        )
    return tuple(found)


def _decoded(key: str, value: bytes) -> bytes:
    try:
        return b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error as error:
        raise Unreadable(grpc.StatusCode.INVALID_ARGUMENT, f"metadata {key!r} is not in base64, as its name says") from error


def _written(key: str, value: str | bytes) -> bytes:
    if key.endswith("-bin"):
        return b64encode(value if isinstance(value, bytes) else value.encode()).rstrip(b"=")
    if isinstance(value, bytes):
        return value
    if not value.isprintable():  # a line break would have the client reset the stream (ngh2 sends it)
        value = value.encode("unicode_escape").decode("ascii")
    return value.encode("ascii", "backslashreplace")
