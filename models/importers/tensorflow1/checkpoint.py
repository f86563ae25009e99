"""TensorFlow's tensor bundle (checkpoints since TensorFlow 0.12): names, kinds and shapes, and the values of chosen tensors.

`<prefix>.index` is a sorted table from names to records, `<prefix>.data-<shard>-of-<shards>` the bytes. Everything is bounded
before it is allocated, and every tensor's checksum is verified. Source: tensorflow/core/protobuf/tensor_bundle.proto.
Knows no networks, and no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import Allowance
from cellserve.models.importers.tensorflow1.checkpoint_table import read_table
from cellserve.models.importers.tensorflow1.crc32c import crc32c, unmasked
from cellserve.models.importers.tensorflow1.protobuf_wire import Damaged, content, fields, number, varint

MAX_INDEX_BYTES: Final = 16 << 20  # some 100,000 tensors
MAX_SHARDS: Final = 10_000
MAX_RANK: Final = 254  # TensorFlow's own limit
MAX_READ_RANK: Final = 8
HEADER_KEY: Final = b""
OBJECT_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
STRING: Final = 7
CHECK_BYTES: Final = 4  # of the lengths of strings, before these
FLOATS: Final = frozenset({1, 2, 14, 19})
BFLOAT16: Final = 14
DTYPES: Final = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2", BFLOAT16: "<u2"}  # by tensorflow.DataType


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one tensor: its kind (tensorflow.DataType), its shape, and where its bytes lie."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int  # masked
    partitioned: bool  # its bytes lie in slices under other keys


class Checkpoint:
    """`entries`: every tensor by name. Raises ImportRefused (from `open` too): cut short, damaged, of another format."""

    def __init__(self, prefix: Path, shards: int, entries: Mapping[str, Entry]) -> None:
        self.prefix = prefix
        self.entries = entries
        self._shards = shards
        self._allowance = Allowance(str(prefix))

    @classmethod
    def open(cls, prefix: Path) -> Checkpoint:
        index = index_file(prefix)
        try:
            size = index.stat().st_size
            if size > MAX_INDEX_BYTES:
                raise ImportRefused(str(index), f"an index of {size:,} bytes is not believable; the limit is {MAX_INDEX_BYTES:,}")
            table = read_table(index.read_bytes())
            shards = _shards(table.get(HEADER_KEY))
            entries = {_name(key): _entry(value) for key, value in table.items() if key and _is_name(key)}
        except OSError as error:
            raise ImportRefused(str(index), f"the checkpoint's index cannot be read: {error.strerror or error}") from error
        except Damaged as error:
            raise ImportRefused(
                str(index), f"this is no TensorFlow checkpoint index, or it is damaged or cut short: {error}; copy it again"
            ) from error
        return cls(prefix, shards, entries)

    def files(self) -> tuple[Path, ...]:
        """The index and the data files that are there."""
        return index_file(self.prefix), *filter(Path.is_file, map(self._data_file, range(self._shards)))

    def read(self, name: str) -> npt.NDArray[Any]:
        """One tensor. Raises ImportRefused naming it."""
        entry = self.entries[name]
        if entry.partitioned:
            raise self._refusal(name, "it is partitioned into slices; save the model without a partitioner")
        if entry.kind not in DTYPES or len(entry.shape) > MAX_READ_RANK:
            what = f"DataType {entry.kind}, {len(entry.shape)} dimensions"
            raise self._refusal(name, f"its kind ({what}) is none that a layer can use")
        dtype = np.dtype(DTYPES[entry.kind])
        self._allowance.array(name, entry.shape, dtype.itemsize)
        if entry.size != prod(entry.shape) * dtype.itemsize:
            raise self._refusal(name, f"{entry.size} bytes are not a tensor of shape {list(entry.shape)}; the index is damaged")
        data = self._bytes(name, entry)
        if crc32c(data) != unmasked(entry.checksum):
            raise self._refusal(name, "its checksum is wrong: the data file is damaged or of another save; copy it again")
        array = np.frombuffer(data, dtype=dtype).reshape(entry.shape)
        return (array.astype(np.uint32) << 16).view(np.float32) if entry.kind == BFLOAT16 else array

    def text(self, name: str) -> bytes:
        """The one string of a tensor that is one. Raises ImportRefused naming it; Damaged: it is not as strings are written."""
        entry = self.entries[name]
        if entry.kind != STRING or entry.shape or entry.size > MAX_INDEX_BYTES:
            raise self._refusal(name, f"it is no string that is believable (DataType {entry.kind}, {entry.size:,} bytes)")
        data = self._bytes(name, entry)
        length, start = varint(data, 0)
        check, text = data[start : start + CHECK_BYTES], data[start + CHECK_BYTES :]
        if len(text) != length:
            raise Damaged(f"{len(text)} bytes where {length} are promised")
        if crc32c(length.to_bytes(4, "little") + check + text) != unmasked(entry.checksum):
            raise self._refusal(name, "its checksum is wrong: the data file is damaged or of another save; copy it again")
        return text

    def _bytes(self, name: str, entry: Entry) -> bytes:
        path = self._data_file(entry.shard)
        try:
            there = path.stat().st_size
            if entry.offset + entry.size > there:
                raise self._refusal(name, f"{path.name} ends before it, at byte {there}; the file is cut short, copy it again")
            with path.open("rb") as file:
                file.seek(entry.offset)
                data = file.read(entry.size)
        except OSError as error:
            raise self._refusal(name, f"{path.name} cannot be read: {error.strerror or error}") from error
        return data

    def _data_file(self, shard: int) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self._shards:05d}")

    def _refusal(self, name: str, what: str) -> ImportRefused:
        return ImportRefused(str(self.prefix), f"variable {name!r}: {what}")


def is_of_objects(checkpoint: Checkpoint) -> bool:
    """Whether TensorFlow 2 wrote it: its variables are called after the objects that hold them, not after scopes."""
    return OBJECT_GRAPH in checkpoint.entries


def index_file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _is_name(key: bytes) -> bool:
    """Keys of slices begin with a zero byte; their tensor has an entry of its own, which says that it is partitioned."""
    return not key.startswith(b"\0")


def _name(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("a name is not text") from error


def _shards(header: bytes | None) -> int:
    """BundleHeaderProto: num_shards = 1, endianness = 2 (0: little)."""
    if header is None:
        raise Damaged("it has no header of a tensor bundle")
    values = dict(fields(header))
    if number(values.get(2, 0)) != 0:
        raise Damaged("it was written on a big-endian machine, whose byte order is not supported")
    shards = number(values.get(1, 0))
    if not 1 <= shards <= MAX_SHARDS:
        raise Damaged(f"it claims {shards} data files")
    return shards


def _entry(record: bytes) -> Entry:
    """BundleEntryProto: dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6, slices = 7."""
    values: dict[int, int | bytes] = dict(fields(record))
    return Entry(
        kind=number(values.get(1, 0)),
        shape=_shape(content(values.get(2, b""))),
        shard=number(values.get(3, 0)),
        offset=number(values.get(4, 0)),
        size=number(values.get(5, 0)),
        checksum=number(values.get(6, 0)),
        partitioned=7 in values,
    )


def _shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto: dim = 2, each with size = 1 (absent: 0)."""
    dims = [dict(fields(content(value))) for field, value in fields(message) if field == 2]
    if len(dims) > MAX_RANK:
        raise Damaged(f"a tensor claims {len(dims)} dimensions")
    return tuple(number(dim.get(1, 0)) for dim in dims)
