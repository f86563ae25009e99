"""The sequences of one implementation on one lane that must be run whole, because their network is not causal.

Batched by similar length: a batch holds lengths of one class, whose longest is at most 4/3 of its shortest, so that at most a
quarter is padding. The batch starts from whoever is first in line, and mates join only while they at most double the time that
the longest would take alone, or all of it fits into a chunk's time. Pure: no clock, no tensors.
"""

from __future__ import annotations

from math import log

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.iteration_costs import IterationCosts
from cellserve.service.engine.live_heap import LiveHeap
from cellserve.service.engine.sequence import Life, Sequence

_CLASS_WIDTH = log(4 / 3)
_UNMEASURED_ROWS = 4
_LARGEST_AREA = 1 << 17  # rows x steps of one batch: bounds its memory


class WholeQueue:
    """`max_chunk_seconds`: a batch within it is never too long."""

    def __init__(self, implementation: str, costs: IterationCosts, max_batch_rows: int, max_chunk_seconds: float) -> None:
        self._implementation = implementation
        self._costs = costs
        self._max_batch_rows = max_batch_rows
        self._max_chunk_seconds = max_chunk_seconds
        self._classes: dict[int, LiveHeap[Sequence]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def active(self) -> int:
        """None between iterations: a sequence enters and ends in the same one."""
        return 0

    @property
    def entering(self) -> int:
        return 0

    def add(self, sequence: Sequence) -> None:
        self._classes.setdefault(_length_class(sequence.steps), LiveHeap()).push(sequence.order, sequence.id, sequence)
        self._waiting += 1

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence. One that has been in a batch is forgotten already."""
        if sequence.life is not Life.ACTIVE:
            self._classes[_length_class(sequence.steps)].discard(sequence.id)
            self._waiting -= 1

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None:
        """Rows are not kept between iterations and nothing can be cut, so neither argument binds."""
        heads = [(head[:2], heap) for heap in self._classes.values() if (head := heap.first()) is not None]
        if not heads:
            return None
        _, heap = min(heads, key=lambda entry: entry[0])
        rows: list[Sequence] = []
        steps = 0
        while (head := heap.first()) is not None and self._fits(len(rows) + 1, max(steps, head[2].steps)):
            sequence = heap.pop()
            sequence.life = Life.ACTIVE
            steps = max(steps, sequence.steps)
            rows.append(sequence)
        self._waiting -= len(rows)
        return Batch(self._implementation, tuple(rows), tuple(sequence.steps for sequence in rows))

    def _fits(self, rows: int, steps: int) -> bool:
        if rows == 1:
            return True
        if rows > self._max_batch_rows or rows * steps > _LARGEST_AREA:
            return False
        if not self._costs.trusted:
            return rows <= _UNMEASURED_ROWS
        alone = self._costs.seconds(1, steps)
        return self._costs.seconds(rows, steps, ragged=True) <= max(2 * alone, self._max_chunk_seconds)


def _length_class(steps: int) -> int:
    """Sequences of one class differ by a factor of at most 4/3."""
    return int(log(steps) / _CLASS_WIDTH)
