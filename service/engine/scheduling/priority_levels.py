"""Sequences by how urgent they are: those of higher priority first, among them those with the least left to do.

What is left is told apart by its leading three bits, four levels to each doubling, so that a sequence changes its level seldom;
within one, who was filed first is first. Knows no costs and no rows.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator

from cellserve.service.engine.sequence import Sequence

_LEADING_BITS = 3
_PRIORITY_SHIFT = 16  # a level is one number: the priority above, the level of what is left in so many bits below


class PriorityLevels:
    """Every operation is O(1) for each sequence but for the first and the last member of a level: O(levels)."""

    def __init__(self) -> None:
        self._members: dict[int, dict[int, Sequence]] = {}
        self._order: list[int] = []
        self._level_of: dict[int, int] = {}

    def file(self, sequences: Iterable[Sequence]) -> None:
        """Puts each of them last on the level where it belongs now, wherever it stood."""
        for sequence in sequences:
            remaining = sequence.remaining
            dropped_bits = remaining.bit_length() - _LEADING_BITS
            if dropped_bits > 0:
                remaining = (dropped_bits << (_LEADING_BITS - 1)) + (remaining >> dropped_bits)
            level = (sequence.order << _PRIORITY_SHIFT) + remaining
            if sequence.id in self._level_of:
                self.discard(sequence)
            members = self._members.get(level)
            if members is None:
                members = self._members[level] = {}
                insort(self._order, level)
            members[sequence.id] = sequence
            self._level_of[sequence.id] = level

    def discard(self, sequence: Sequence) -> None:
        """Nothing happens if it is not here."""
        level = self._level_of.pop(sequence.id, None)
        if level is None:
            return
        members = self._members[level]
        del members[sequence.id]
        if not members:
            del self._members[level]
            self._order.remove(level)

    def foremost(self) -> Iterator[Sequence]:
        """Those of the highest priority, level by level, the least left first."""
        for level in self._order:
            if level >> _PRIORITY_SHIFT != self._order[0] >> _PRIORITY_SHIFT:
                return
            yield from self._members[level].values()
