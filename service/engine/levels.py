"""Sequences by how urgent they are: those of higher priority first, among them those with the least left to do.

Levels of what is left double, so that a sequence changes its level seldom; within one, who was filed first is first. Knows no
costs and no rows.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from cellserve.service.engine.sequence import Sequence

Level = tuple[int, int]


class Levels:
    """Every operation is O(1) but for the first and the last member of a level: O(levels)."""

    def __init__(self) -> None:
        self._members: dict[Level, dict[int, Sequence]] = {}
        self._order: list[Level] = []
        self._level_of: dict[int, Level] = {}

    def file(self, sequence: Sequence) -> None:
        """Puts a sequence last on the level where it belongs now, wherever it stood."""
        level = (sequence.order, sequence.remaining.bit_length())
        if self._level_of.get(sequence.id) == level:
            mates = self._members[level]
            mates[sequence.id] = mates.pop(sequence.id)
            return
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

    def first(self) -> Iterator[Sequence]:
        """The members of the most urgent level, in their order."""
        return iter(self._members[self._order[0]].values()) if self._order else iter(())

    def up_to(self, steps: int) -> Iterator[Sequence]:
        """Those of the highest priority, level by level, as far as one may have at most `steps` steps left."""
        for level in self._order:
            if level[0] != self._order[0][0] or level[1] > steps.bit_length():
                return
            yield from self._members[level].values()
