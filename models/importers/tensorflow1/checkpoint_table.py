"""The sorted table of keys and values in which a TensorFlow checkpoint's .index file lists its tensors.

LevelDB's table format: blocks of prefix-compressed entries, an index block that points at them, a footer that points at the
index. Every block's checksum is verified. Source: tensorflow/core/lib/io/{format,block}.cc, leveldb doc/table_format.md.
Knows nothing of what the values mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cellserve.models.importers.tensorflow1.crc32c import crc32c, unmasked
from cellserve.models.importers.tensorflow1.protobuf_wire import Damaged, take, varint

FOOTER_BYTES: Final = 48
MAGIC: Final = (0xDB4775248B80FB57).to_bytes(8, "little")
TRAILER_BYTES: Final = 5  # after each block: its compression, its masked checksum
UNCOMPRESSED: Final = 0
MAX_KEY_BYTES: Final = 16 << 20  # all keys together; they are compressed, so that a small file may claim long ones


def is_table(ending: bytes) -> bool:
    """Whether a file that ends so is such a table."""
    return ending.endswith(MAGIC)


def read_table(data: bytes) -> dict[bytes, bytes]:
    """The entries of the whole file `data`, in its order. Raises Damaged."""
    if len(data) < FOOTER_BYTES or not is_table(data):
        raise Damaged("it does not end as such a table does")
    footer = data[-FOOTER_BYTES:]
    _, at = _handle(footer, 0)  # of the meta index, which holds nothing here
    index, _ = _handle(footer, at)
    entries: dict[bytes, bytes] = {}
    key_bytes, previous = 0, b""
    for _, where in _entries(_block(data, *index)):
        for key, value in _entries(_block(data, *_handle(where, 0)[0])):
            if entries and key <= previous:
                raise Damaged("its keys are not in order")
            key_bytes += len(key)
            if key_bytes > MAX_KEY_BYTES:
                raise Damaged("its keys are longer than is believable")
            entries[key] = value
            previous = key
    return entries


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """((offset, size) of a block, the byte after it)."""
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> bytes:
    if offset + size + TRAILER_BYTES > len(data) - FOOTER_BYTES:
        raise Damaged("a block reaches beyond the end of the file")
    block, end = data[offset : offset + size], offset + size
    stored = int.from_bytes(data[end + 1 : end + TRAILER_BYTES], "little")
    if unmasked(stored) != crc32c(data[offset : end + 1]):
        raise Damaged("the checksum of a block is wrong")
    if data[end] != UNCOMPRESSED:
        raise Damaged(f"a block is compressed (type {data[end]}), which TensorFlow never does to a checkpoint's index")
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each key shares a number of leading bytes with the one before it; the block ends with restart points, not needed here."""
    if len(block) < 4:
        raise Damaged("a block is too short")
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise Damaged("a block has more restart points than bytes")
    body, at, key = block[:end], 0, b""
    while at < end:
        shared, at = varint(body, at)
        own_length, at = varint(body, at)
        value_length, at = varint(body, at)
        if shared > len(key):
            raise Damaged("a key begins as no key before it")
        own, at = take(body, at, own_length)
        value, at = take(body, at, value_length)
        key = key[:shared] + own
        yield key, value
