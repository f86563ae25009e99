"""Varints and protobuf fields, as far as small records of known messages need them.

Source: protobuf.dev/programming-guides/encoding. Knows no messages.
"""

from __future__ import annotations

from collections.abc import Iterator

LONGEST_VARINT_BYTES = 10
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Damaged(ValueError):
    """Bytes that are not what their format promises; the sentence is completed by whoever knows the file."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(the unsigned number that begins at byte `at`, the byte after it). Raises Damaged."""
    value = 0
    for count in range(LONGEST_VARINT_BYTES):
        if at + count >= len(data):
            raise Damaged("a number is cut short")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise Damaged("a number is longer than any number can be")


def take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    """(`count` bytes from `at`, the byte after them). Raises Damaged."""
    if count > len(data) - at:
        raise Damaged(f"a record of {count} bytes reaches beyond its end")
    return data[at : at + count], at + count


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field in turn: varints and fixed numbers as unsigned ints, the rest as bytes. Raises Damaged."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, value
        elif kind == BYTES:
            length, at = varint(message, at)
            content, at = take(message, at, length)
            yield number, content
        elif kind in (FIXED32, FIXED64):
            content, at = take(message, at, 4 if kind == FIXED32 else 8)
            yield number, int.from_bytes(content, "little")
        else:
            raise Damaged(f"a field of the unknown wire type {kind}")


def number(value: int | bytes) -> int:
    """Raises Damaged where a number was promised and bytes are there."""
    if isinstance(value, bytes):
        raise Damaged("a field holds bytes where a number is expected")
    return value


def content(value: int | bytes) -> bytes:
    """Raises Damaged where bytes were promised and a number is there."""
    if isinstance(value, int):
        raise Damaged("a field holds a number where bytes are expected")
    return value
