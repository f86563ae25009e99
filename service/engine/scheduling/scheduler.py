"""Decides, for one lane, which sequences advance next and for how many time steps; remembers who is live and until when.

admit → next_batch → retire, with cancel and expire between iterations; where results come later than the next decision,
`launched` and `collected` are the two halves of `retire`. Implementations take turns: one that has work is never passed over
twice. Pure Python: the clock is passed in, nothing is computed and nobody is told; every operation costs O(log n) of the
sequences that wait, so a long queue does not slow the loop. One thread owns it; the counts may be read by any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.costs.pass_costs import PassCosts
from cellserve.service.engine.scheduling.live_heap import LiveHeap
from cellserve.service.engine.sequence import Life, Sequence


class Budget(Protocol):
    def seconds(self, now_seconds: float) -> float:
        """For the next iteration."""
        ...


class Queue(Protocol):
    """The sequences of one implementation: ChunkQueue or PassQueue."""

    @property
    def waiting(self) -> int: ...

    @property
    def active(self) -> int: ...

    @property
    def entering(self) -> int:
        """Those that neither wait nor are active: a free row is kept for each, and it may run next."""

    def add(self, sequence: Sequence) -> None: ...

    def discard(self, sequence: Sequence) -> None: ...

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None: ...


class Scheduler:
    """`queue_of` makes the queue of an implementation met for the first time, around its `cost_models`.

    least_seconds: what a sequence will take yet, at the very least.
    """

    def __init__(
        self,
        queue_of: Callable[[str, PassCosts], Queue],
        budget: Budget,
        cost_models: int = 1,
        least_seconds: Callable[[Sequence, float], float] = lambda sequence, now_seconds: 0.0,
    ) -> None:
        self._least_seconds = least_seconds
        self._queue_of = queue_of
        self._budget = budget
        self._cost_models = cost_models
        self._queues: dict[str, Queue] = {}
        self._turns: list[str] = []  # implementations; whose turn it is comes first
        self._costs: dict[str, PassCosts] = {}
        self._live: dict[int, Sequence] = {}
        self._deadlines: LiveHeap[Sequence] = LiveHeap()

    @property
    def live(self) -> int:
        return len(self._live)

    @property
    def waiting(self) -> int:
        return sum(queue.waiting for queue in tuple(self._queues.values()))

    @property
    def active(self) -> int:
        return sum(queue.active for queue in tuple(self._queues.values()))

    def sequences(self) -> list[Sequence]:
        """Everybody live, in the order of arrival."""
        return list(self._live.values())

    def admit(self, sequence: Sequence) -> None:
        """Takes in a waiting sequence."""
        queue = self._queues.get(sequence.implementation)
        if queue is None:
            costs = tuple(IterationCosts() for _ in range(self._cost_models))
            queue = self._queue_of(sequence.implementation, costs)
            self._costs[sequence.implementation] = costs
            self._queues[sequence.implementation] = queue
            self._turns.append(sequence.implementation)
        queue.add(sequence)
        self._live[sequence.id] = sequence
        if sequence.work.deadline_seconds is not None:
            least = self._least_seconds(sequence, sequence.submitted_seconds)
            self._deadlines.push((sequence.work.deadline_seconds - least,), sequence.id, sequence)

    def next_batch(self, now_seconds: float, free_rows: int) -> Batch | None:
        """The next iteration; None if nobody can run. Waiting sequences that join it become active."""
        free_rows -= sum(queue.entering for queue in self._queues.values())
        seconds = self._budget.seconds(now_seconds)
        for implementation in self._turns:
            batch = self._queues[implementation].next_batch(free_rows, seconds)
            if batch is not None:
                self._turns.remove(implementation)
                self._turns.append(implementation)
                return batch
        return None

    def retire(self, batch: Batch, started_seconds: float, seconds: float, cost_seconds: float) -> list[Sequence]:
        """Books an iteration that took `seconds`, and cost `cost_seconds`: positions, shares, costs.

        Returns the sequences that it completed.
        """
        costs = self._costs[batch.implementation][-1 if batch.whole else batch.pass_index]
        costs.observe(batch.rows, batch.steps, cost_seconds, batch.ragged)
        return self._advanced(batch, started_seconds, seconds / batch.timesteps)

    def launched(self, batch: Batch, started_seconds: float) -> list[Sequence]:
        """Books the positions of an iteration of the one pass that is under way: all that the next decision needs.

        Returns the sequences whose last steps are in it. They are forgotten here: nobody can take them out any more.
        """
        return self._advanced(batch, started_seconds, 0.0)

    def collected(self, batch: Batch, seconds: float) -> None:
        """Books the rest, once it is known that the iteration took `seconds` of the device."""
        self._costs[batch.implementation][0].observe(batch.rows, batch.steps, seconds, batch.ragged)
        seconds_per_step = seconds / batch.timesteps
        for sequence, length in zip(batch.sequences, batch.lengths):
            sequence.compute_seconds += length * seconds_per_step

    def _advanced(self, batch: Batch, started_seconds: float, seconds_per_step: float) -> list[Sequence]:
        ended: list[Sequence] = []
        for sequence, length in zip(batch.sequences, batch.lengths):
            if sequence.started_seconds is None:
                sequence.started_seconds = started_seconds
            sequence.iterations += 1
            sequence.compute_seconds += length * seconds_per_step
            if sequence.advance(length):
                self._forget(sequence)
                ended.append(sequence)
        return ended

    def cancel(self, sequence_id: int) -> Sequence | None:
        """Takes a sequence out; None if it is not (or no longer) here."""
        sequence = self._live.get(sequence_id)
        if sequence is not None:
            self._forget(sequence)
        return sequence

    def expire(self, now_seconds: float) -> list[Sequence]:
        """Takes out everybody whose deadline has passed, or passes before they could be done."""
        expired: list[Sequence] = []
        while (first := self._deadlines.first()) is not None and first[0][0] <= now_seconds:
            sequence = self._deadlines.pop()
            latest = (sequence.work.deadline_seconds or 0.0) - self._least_seconds(sequence, now_seconds)
            if latest > now_seconds:  # it has got on since
                self._deadlines.push((latest,), sequence.id, sequence)
            else:
                self._forget(sequence)
                expired.append(sequence)
        return expired

    def _forget(self, sequence: Sequence) -> None:
        del self._live[sequence.id]
        if sequence.work.deadline_seconds is not None:
            self._deadlines.discard(sequence.id)
        self._queues[sequence.implementation].discard(sequence)
        sequence.life = Life.DONE
