"""The sequences of one implementation on one lane that are each one call: feeds of a step model whose graph takes them whole.

Those of similar length go together, as in `whole_queue.py`. Pure: no clock, no tensors.
"""

from __future__ import annotations

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.scheduling.whole_queue import WholeQueue
from cellserve.service.engine.sequence import Sequence


class FeedQueue:
    """A Queue that nobody is active in: who is in a batch has left it for good."""

    active = 0
    entering = 0

    def __init__(self, implementation: str, costs: IterationCosts, max_batch_rows: int) -> None:
        self._whole = WholeQueue(implementation, costs, max_batch_rows)

    @property
    def waiting(self) -> int:
        return self._whole.waiting

    def add(self, sequence: Sequence) -> None:
        self._whole.add(sequence)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence that waits here."""
        self._whole.discard(sequence)

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None:
        """free_rows: of no account, as no feed needs a row between iterations."""
        return self._whole.next_batch(seconds)
