"""How much a foreign file may ask for, checked before anything is allocated. Knows no format."""

from __future__ import annotations

from math import prod
from typing import Final

from cellserve.models.errors import ImportRefused

MAX_ARRAY_BYTES: Final = 4 << 30  # one weight array
MAX_TOTAL_BYTES: Final = 16 << 30  # all of them, and an archive unpacked
MAX_JSON_BYTES: Final = 64 << 20
MAX_EXPANSION: Final = 2000  # unpacked over packed; deflate reaches about 1030 on zeros
SMALL_BYTES: Final = 1 << 20  # below this nothing is worth refusing


class Allowance:
    """Counts what one file has been granted, and refuses what passes the limits."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._granted_bytes = 0

    def array(self, name: str, shape: tuple[int, ...], item_bytes: int) -> None:
        """Grants one array, or raises ImportRefused naming it."""
        size = prod(shape) * item_bytes
        if size > MAX_ARRAY_BYTES:
            raise ImportRefused(
                self._source,
                f"the array {name!r} claims the shape {list(shape)}, {size:,} bytes; the limit is {MAX_ARRAY_BYTES:,}",
            )
        self.take(size)

    def take(self, size: int) -> None:
        self._granted_bytes += size
        if self._granted_bytes > MAX_TOTAL_BYTES:
            raise ImportRefused(self._source, f"the file unpacks to more than {MAX_TOTAL_BYTES:,} bytes, the limit for one model")
