"""Those of one implementation that wait for a row: the first of them, and how many stand ahead of whom.

Knows no rows and no clock. One thread owns it; any thread may read the counts.
"""

from __future__ import annotations

from cellserve.service.engine.live_heap import LiveHeap
from cellserve.service.engine.sequence import Sequence


class Line:
    """By order, equal ones as they arrived. Every operation is O(log n) on average."""

    def __init__(self) -> None:
        self._waiting: LiveHeap[Sequence] = LiveHeap()
        self._orders: dict[int, int] = {}  # how many are of each order, which are few

    def __len__(self) -> int:
        return len(self._waiting)

    def ahead(self, order: int) -> int:
        """How many come before a newcomer of this order."""
        return sum([count for other, count in self._orders.copy().items() if other <= order])

    def add(self, sequence: Sequence) -> None:
        self._waiting.push(sequence.order, sequence.id, sequence)
        self._orders[sequence.order] = self._orders.get(sequence.order, 0) + 1

    def pop(self) -> Sequence:
        """The first. IndexError if nobody waits."""
        sequence = self._waiting.pop()
        self._uncount(sequence.order)
        return sequence

    def discard(self, sequence: Sequence) -> None:
        """Nothing happens if it does not wait here."""
        if self._waiting.discard(sequence.id):
            self._uncount(sequence.order)

    def _uncount(self, order: int) -> None:
        self._orders[order] -= 1
        if self._orders[order] == 0:
            del self._orders[order]
