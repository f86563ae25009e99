"""Those sequences of one implementation on one lane that go through all passes of their network in one iteration: the short ones.

Batched by similar length: a batch holds lengths of one class, whose longest is at most 4/3 of its shortest, so that at most a
quarter is padding. The batch starts from whoever is first in line, and mates join while all of it takes at most twice the time of
an iteration: it cannot be cut, so fewer than are best side by side would fit into one. Pure: no clock, no tensors.
"""

from __future__ import annotations

from math import log

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.scheduling.live_heap import LiveHeap
from cellserve.service.engine.sequence import Life, Sequence

_CLASS_WIDTH = log(4 / 3)
_UNMEASURED_ROWS = 4
_LARGEST_AREA = 1 << 17  # rows x steps of one batch: bounds its memory
LONGEST = 2.0  # times the time of an iteration: what one that cannot be cut may take


class WholeQueue:
    """`costs`: by the time steps of all passes together."""

    def __init__(self, implementation: str, costs: IterationCosts, max_batch_rows: int) -> None:
        self._implementation = implementation
        self._costs = costs
        self._max_batch_rows = max_batch_rows
        self._classes: dict[int, LiveHeap[Sequence]] = {}
        self._ids: set[int] = set()

    @property
    def waiting(self) -> int:
        return len(self._ids)

    def add(self, sequence: Sequence) -> None:
        self._classes.setdefault(_length_class(sequence.total), LiveHeap()).push(
            (sequence.order, sequence.turn_seconds), sequence.id, sequence
        )
        self._ids.add(sequence.id)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence that waits here. One that has been in a batch, or never came here, is not known any more."""
        if sequence.id in self._ids:
            self._ids.remove(sequence.id)
            self._classes[_length_class(sequence.total)].discard(sequence.id)

    def foremost(self) -> Sequence | None:
        """The first in line; None if nobody waits."""
        first = self._first_class()
        return None if first is None or (head := first.first()) is None else head[2]

    def next_batch(self, seconds: float) -> Batch | None:
        """The next batch, of at most about twice `seconds`; None if nobody waits."""
        line = self._first_class()
        if line is None:
            return None
        rows: list[Sequence] = []
        steps = 0
        while (head := line.first()) is not None and self._fits(len(rows) + 1, max(steps, head[2].total), seconds):
            sequence = line.pop()
            sequence.life = Life.ACTIVE
            steps = max(steps, sequence.total)
            rows.append(sequence)
        self._ids.difference_update(sequence.id for sequence in rows)
        return Batch(self._implementation, tuple(rows), tuple(sequence.total for sequence in rows), whole=True)

    def _first_class(self) -> LiveHeap[Sequence] | None:
        """The line whose head comes before those of all others."""
        heads = [(head[:2], line) for line in self._classes.values() if (head := line.first()) is not None]
        return min(heads, key=lambda entry: entry[0])[1] if heads else None

    def _fits(self, rows: int, steps: int, seconds: float) -> bool:
        if rows == 1:
            return True
        if rows > self._max_batch_rows or rows * steps > _LARGEST_AREA:
            return False
        if not self._costs.trusted:
            return rows <= _UNMEASURED_ROWS
        return self._costs.seconds(rows, steps, ragged=True) <= LONGEST * seconds


def _length_class(steps: int) -> int:
    """Sequences of one class differ by a factor of at most 4/3."""
    return int(log(steps) / _CLASS_WIDTH)
