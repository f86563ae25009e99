"""Whether a file is an ONNX model, from the numbers of its outermost fields: protobuf files have no first bytes of their own.

Looks at a few bytes of each field and passes over the rest. Knows no graphs; imports no library.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final

from cellserve.models.importers.tensorflow1.protobuf_wire import BYTES, VARINT, Damaged, varint

FIELDS: Final = {
    1: VARINT,
    2: BYTES,
    3: BYTES,
    4: BYTES,
    5: VARINT,
    6: BYTES,
    7: BYTES,
    8: BYTES,
    14: BYTES,
    20: BYTES,
    25: BYTES,
    26: BYTES,
}
GRAPH, OPSETS = 7, 8
SUFFIXES: Final = (".onnx", ".ort")
MOST_FIELDS: Final = 10_000
LONGEST_HEAD: Final = 24  # of a tag and a length


def is_onnx(path: Path, size: int, head: bytes) -> bool:
    """By what it holds; by its name where it is cut short, so that the importer can say so."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if not head or head[0] >> 3 not in FIELDS:
        return False
    try:
        with path.open("rb") as file:
            return {GRAPH, OPSETS} <= _fields(file, size)
    except (OSError, Damaged):
        return False


def _fields(file: BinaryIO, size: int) -> set[int]:
    """The numbers of the outermost fields. Raises Damaged: others than a model's, or one that reaches beyond the file."""
    found: set[int] = set()
    at = 0
    for _ in range(MOST_FIELDS):
        if at == size:
            return found
        file.seek(at)
        data = file.read(LONGEST_HEAD)
        tag, begin = varint(data, 0)
        if FIELDS.get(tag >> 3) != tag & 7:
            raise Damaged("a field that no model has")
        length, after = varint(data, begin)
        at += after + (length if tag & 7 == BYTES else 0)
        if at > size:
            raise Damaged("a field reaches beyond the end")
        found.add(tag >> 3)
    raise Damaged("far too many fields")
