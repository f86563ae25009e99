"""States of idle sequences in host memory: rows of float32 in blocks that never move. Grows and shrinks block by block.

A row is reached only with the handle that its allocation gave: a handle that was freed, or is of an earlier user of the same
row, is refused. So no mistake elsewhere can show or overwrite another sequence's state. Knows no sequences and no threads.
"""

from __future__ import annotations

from array import array
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

_BLOCK_BYTES: Final = 1 << 20
_BLOCK_ROWS: Final = (16, 4096)


class StaleRow(LookupError):
    """The row belongs to nobody, or to somebody else by now."""


class SlabRow(NamedTuple):
    number: int
    generation: int


class _Block:
    __slots__ = ("free", "generations", "states")

    def __init__(self, rows: int, width: int) -> None:
        self.states = np.empty((rows, width), np.float32)
        self.generations = array("q", bytes(8 * rows))  # 0: free
        self.free = array("i", range(rows - 1, -1, -1))


class StateSlab:
    """width: of a state, in floats. block_rows: for tests; by default about a megabyte."""

    def __init__(self, width: int, block_rows: int | None = None) -> None:
        low, high = _BLOCK_ROWS
        self.width = width
        self.used = 0
        self._rows = block_rows or max(low, min(high, _BLOCK_BYTES // max(4 * width, 1)))
        self._blocks: list[_Block | None] = []
        self._open: dict[int, None] = {}  # numbers of blocks with free rows, in order
        self._vacant: list[int] = []  # numbers of blocks that were given back
        self._generation = 0

    def put(self, state: npt.NDArray[np.float32]) -> SlabRow:
        """A row of its own for `state` [width], which is copied."""
        number = next(iter(self._open), None)
        if number is None:
            number = self._add_block()
        block = self._block(number)
        place = block.free.pop()
        if not block.free:
            del self._open[number]
        self._generation += 1
        block.generations[place] = self._generation
        block.states[place] = state
        self.used += 1
        return SlabRow(number * self._rows + place, self._generation)

    def read(self, row: SlabRow) -> npt.NDArray[np.float32]:
        """A copy, [width]. Raises StaleRow."""
        block, place = self._find(row)
        copy: npt.NDArray[np.float32] = block.states[place].copy()
        return copy

    def write(self, row: SlabRow, state: npt.NDArray[np.float32]) -> SlabRow:
        """The handle that replaces `row`: whoever read the old state knows from it that it is old. Raises StaleRow."""
        block, place = self._find(row)
        self._generation += 1
        block.generations[place] = self._generation
        block.states[place] = state
        return SlabRow(row.number, self._generation)

    def free(self, row: SlabRow) -> None:
        """Raises StaleRow: a row is freed once."""
        block, place = self._find(row)
        block.generations[place] = 0
        block.free.append(place)
        self.used -= 1
        number = row.number // self._rows
        self._open[number] = None
        if len(block.free) == self._rows and len(self._open) > 1:
            self._blocks[number] = None
            del self._open[number]
            self._vacant.append(number)

    @property
    def bytes(self) -> int:
        """Of the rows in use."""
        return self.used * self.width * np.dtype(np.float32).itemsize

    def _add_block(self) -> int:
        block = _Block(self._rows, self.width)
        if self._vacant:
            number = self._vacant.pop()
            self._blocks[number] = block
        else:
            number = len(self._blocks)
            self._blocks.append(block)
        self._open[number] = None
        return number

    def _block(self, number: int) -> _Block:
        block = self._blocks[number] if 0 <= number < len(self._blocks) else None
        if block is None:
            raise StaleRow(f"block {number} is not in use")
        return block

    def _find(self, row: SlabRow) -> tuple[_Block, int]:
        number, place = divmod(row.number, self._rows)
        block = self._block(number)
        if block.generations[place] != row.generation:
            raise StaleRow(f"row {row.number} is not of generation {row.generation}")
        return block, place
