"""The sequences of one implementation on one lane that are advanced chunk by chunk: who is in the next iteration, how far.

Newcomers go first, so that a short one is soon done, but take at most half of the rows while older ones are under way; these
take turns for the rest. So every active sequence is in one of the next 2 · active / max_batch_rows iterations: nobody
starves. Pure: no clock, no tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.chunk_length import best_steps
from cellserve.service.engine.cost_model import CostModel
from cellserve.service.engine.live_heap import LiveHeap
from cellserve.service.engine.sequence import Life, Sequence


class ChunkQueue:
    """`costs` is the model of exactly these iterations; the queue reads it, its owner feeds it."""

    def __init__(self, implementation: str, costs: CostModel, max_batch_rows: int) -> None:
        self._implementation = implementation
        self._costs = costs
        self._max_batch_rows = max_batch_rows
        self._waiting: LiveHeap[Sequence] = LiveHeap()
        self._active: OrderedDict[int, Sequence] = OrderedDict()  # the one that has not run for longest comes first
        self._newcomer_had_the_row = False  # with one row per batch, newcomers and older ones alternate

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return len(self._active)

    def add(self, sequence: Sequence) -> None:
        self._waiting.push(sequence.order, sequence.id, sequence)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it stands."""
        self._waiting.discard(sequence.id)
        self._active.pop(sequence.id, None)

    def next_batch(self, free_rows: int, budget_seconds: Callable[[bool], float]) -> Batch | None:
        """The next iteration, with at most `free_rows` newcomers, which become active; None if nobody can run.

        budget_seconds(anyone_waiting) says how long the chunk may take.
        """
        rows = self._pick(free_rows)
        if not rows:
            return None
        limit = self._costs.steps_within(budget_seconds(len(self._waiting) > 0), len(rows))
        steps = best_steps([sequence.remaining for sequence in rows], limit, self._costs)
        return Batch(self._implementation, tuple(rows), tuple(min(steps, sequence.remaining) for sequence in rows))

    def _pick(self, free_rows: int) -> list[Sequence]:
        newcomers = [self._waiting.pop() for _ in range(min(self._newcomer_rows(), free_rows, len(self._waiting)))]
        self._newcomer_had_the_row = bool(newcomers)
        older = list(islice(self._active.values(), self._max_batch_rows - len(newcomers)))
        for sequence in older:
            self._active.move_to_end(sequence.id)
        for sequence in newcomers:
            sequence.life = Life.ACTIVE
            self._active[sequence.id] = sequence
        return newcomers + older

    def _newcomer_rows(self) -> int:
        share = self._max_batch_rows // 2
        if self._max_batch_rows == 1:
            share = 0 if self._newcomer_had_the_row else 1
        return max(share, self._max_batch_rows - len(self._active))
