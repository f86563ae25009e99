"""The sequences of one implementation on one lane whose network takes several passes: which pass runs next, with whom, how far.

Whoever is so short that all passes take at most twice the time of an iteration goes through all at once, in a WholeQueue. For the
others each pass has a ChunkQueue of its own, and only sequences of the same pass run side by side. Of these queues the one whose
foremost sequence has the least left in all of its passes runs next, so that whoever is short is through while the long ones wait;
but whoever is owed as much as the patience, in whatever pass, leads in its turn. A long sequence enters when there is a row
and room for what it stores between its passes; it keeps both to its end. Pure: no clock, no tensors.
"""

from __future__ import annotations

from collections.abc import Callable

from cellserve.models.description.step_counts import Fed
from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.pass_costs import PassCosts, at_once
from cellserve.service.engine.scheduling.chunk_queue import ChunkQueue
from cellserve.service.engine.scheduling.live_heap import LiveHeap
from cellserve.service.engine.scheduling.storage_quota import StorageQuota
from cellserve.service.engine.scheduling.whole_queue import LONGEST, WholeQueue
from cellserve.service.engine.sequence import Sequence

_MOST_STORED_BYTES = 1 << 30
_LOOKED_AT = 64  # of those that wait, for whom there is no room: how many are set aside before an iteration


class PassQueue:
    """costs: of each pass, and of all at once. stored_bytes: the most that a sequence of so many time steps stores."""

    def __init__(
        self,
        implementation: str,
        costs: PassCosts,
        max_batch_rows: int,
        patience_seconds: float,
        stored_bytes: Callable[[Fed], int],
        most_stored_bytes: int = _MOST_STORED_BYTES,
    ) -> None:
        self._costs = costs
        self._patience_seconds = patience_seconds
        self._stored_bytes = stored_bytes
        self._storage = StorageQuota(most_stored_bytes)
        self._whole = WholeQueue(implementation, costs[-1], max_batch_rows)
        self._passes = [ChunkQueue(implementation, one, max_batch_rows, patience_seconds) for one in costs[:-1]]
        self._seconds = patience_seconds  # of an iteration, as last asked for
        self._whole_owed_seconds = 0.0
        self._waiting: LiveHeap[Sequence] = LiveHeap()
        self._set_aside: LiveHeap[Sequence] = LiveHeap()  # those for whom there was no room; the first of them comes first
        self._pass_of: dict[int, int] = {}  # of everybody who has entered
        self._entering: set[int] = set()  # those of them that have not run yet
        self._ran: tuple[Sequence, ...] = ()  # in the last iteration, perhaps in another pass by now

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._set_aside) + self._whole.waiting

    @property
    def active(self) -> int:
        return len(self._pass_of) - len(self._entering)

    @property
    def entering(self) -> int:
        return len(self._entering)

    def add(self, sequence: Sequence) -> None:
        if at_once(sequence.passes, self._costs, LONGEST * self._seconds):
            self._whole.add(sequence)
        else:
            self._waiting.push((sequence.order, sequence.turn_seconds), sequence.id, sequence)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it stands."""
        self._whole.discard(sequence)
        self._waiting.discard(sequence.id)
        self._set_aside.discard(sequence.id)
        index = self._pass_of.pop(sequence.id, None)
        if index is not None:
            self._passes[index].discard(sequence)
            self._entering.discard(sequence.id)
            self._storage.give_back(sequence.id)
            if not self._pass_of:
                self._ran = ()  # idle: nobody's requests and answers are kept

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None:
        """The next iteration, of about `seconds`; None if nobody can run. Up to `free_rows` that wait enter first."""
        self._seconds = seconds
        self._follow()
        self._enter(free_rows)
        foremost = {index: first for index, queue in enumerate(self._passes) if (first := queue.foremost(queue.waiting))}
        if first := self._whole.foremost():
            foremost[len(self._passes)] = first
        if not foremost:
            return None
        index = self._next_queue(foremost)
        batch = self._passes[index].next_batch(0, seconds) if index < len(self._passes) else self._whole.next_batch(seconds)
        if batch is not None:
            self._note(batch, index, foremost)
        return batch

    def _follow(self) -> None:
        """Those that have ended a pass go over to the next."""
        for sequence in self._ran:
            before = self._pass_of.get(sequence.id)
            if before is not None and before != sequence.pass_index:
                self._passes[before].discard(sequence)
                self._passes[sequence.pass_index].add(sequence)
                self._pass_of[sequence.id] = sequence.pass_index
        self._ran = ()

    def _enter(self, free_rows: int) -> None:
        while free_rows > 0 and (head := self._set_aside.first()) is not None and self._entered(head[2]):
            self._set_aside.pop()
            free_rows -= 1
        looks = _LOOKED_AT
        while free_rows > 0 and looks > 0 and (head := self._waiting.first()) is not None:
            sequence = self._waiting.pop()
            if self._entered(sequence):
                free_rows -= 1
            else:
                self._set_aside.push((sequence.order, sequence.turn_seconds), sequence.id, sequence)
                looks -= 1

    def _entered(self, sequence: Sequence) -> bool:
        """False if there is no room for what it would store."""
        if not self._storage.take(sequence.id, self._stored_bytes(sequence.work.fed)):
            return False
        self._passes[0].add(sequence)
        self._pass_of[sequence.id] = 0
        self._entering.add(sequence.id)
        return True

    def _next_queue(self, foremost: dict[int, Sequence]) -> int:
        creditor = max(foremost, key=self._owed_seconds)
        if self._owed_seconds(creditor) >= self._patience_seconds:
            return creditor
        return min(foremost, key=lambda index: (foremost[index].order, foremost[index].left, index))

    def _owed_seconds(self, index: int) -> float:
        return self._passes[index].owed_seconds if index < len(self._passes) else self._whole_owed_seconds

    def _note(self, batch: Batch, index: int, foremost: dict[int, Sequence]) -> None:
        seconds = self._costs[index].seconds(batch.rows, batch.steps, batch.ragged)
        for other in foremost.keys() - {index}:
            if other < len(self._passes):
                self._passes[other].pass_over(seconds)
        waits = len(self._passes) in foremost and not batch.whole
        self._whole_owed_seconds = self._whole_owed_seconds + seconds if waits else 0.0
        self._ran = () if batch.whole else batch.sequences
        self._entering.difference_update(sequence.id for sequence in batch.sequences)
