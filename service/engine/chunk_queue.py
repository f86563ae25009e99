"""The sequences of one implementation on one lane that are advanced chunk by chunk: who is in the next iteration, how far.

Those with the least left lead, newcomers or not, and go all their way in one iteration where that fits its time: whoever is
short is in and out. Some of those that have long to go may run beside them. Whoever has not run for longest leads the next
iteration after having been passed over for `patience_seconds`, so that the old keep about half of the time however many short
ones come. Hence nobody starves: with n others that have not run for longer, a sequence runs within n + 1 times the patience and
two iterations. Pure: no clock, no tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.chunk_shape import rows_beside, rows_that_end
from cellserve.service.engine.iteration_costs import IterationCosts
from cellserve.service.engine.levels import Levels
from cellserve.service.engine.live_heap import LiveHeap
from cellserve.service.engine.sequence import Life, Sequence

_LOOKED_AT = 2  # times the rows of a batch: how many are looked at to find the best
_COMPANY = 2.0  # times what the leaders would take alone: what they may take with others beside them
_LEAST_COMPANY = 0.5  # of the time of an iteration: what they may take in any case
_LONG_TO_GO = 4  # times the steps of the iteration: those beside must not be at their own ends soon, or these scatter
_LEAST_CROWDED = 0.5  # of the time of an iteration


class ChunkQueue:
    """`costs` is the model of exactly these iterations; the queue reads it, its owner feeds it."""

    def __init__(self, implementation: str, costs: IterationCosts, max_batch_rows: int, patience_seconds: float) -> None:
        self._implementation = implementation
        self._costs = costs
        self._max_batch_rows = max_batch_rows
        self._patience_seconds = patience_seconds
        self._waiting: LiveHeap[Sequence] = LiveHeap()
        self._active: OrderedDict[int, Sequence] = OrderedDict()  # who has a row, or one kept free; run longest ago comes first
        self._levels = Levels()  # the active ones, by what they have left
        self._entering: set[int] = set()  # those of them that have not run yet
        self._ran: dict[int, Sequence] = {}  # in the last iteration, to be filed anew
        self._passed_over_seconds = 0.0  # for how long the first of the active ones has been

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def active(self) -> int:
        return len(self._active) - len(self._entering)

    @property
    def entering(self) -> int:
        return len(self._entering)

    def add(self, sequence: Sequence) -> None:
        self._waiting.push(sequence.order, sequence.id, sequence)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it stands."""
        self._waiting.discard(sequence.id)
        if self._active.pop(sequence.id, None) is not None:
            self._levels.discard(sequence)
            self._entering.discard(sequence.id)
            self._ran.pop(sequence.id, None)

    @property
    def passed_over_seconds(self) -> float:
        """For how long whoever has not run for longest has been."""
        return self._passed_over_seconds

    def pass_over(self, seconds: float) -> None:
        """Counts time in which none of these ran though they could have."""
        self._passed_over_seconds += seconds

    def foremost(self, free_rows: int) -> Sequence | None:
        """One of those with the least left; None if nobody can run. Up to `free_rows` that wait enter first."""
        self._file(free_rows)
        return next(self._levels.first(), None)

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None:
        """The next iteration, of about `seconds`; None if nobody can run. Up to `free_rows` that wait enter first."""
        self._file(free_rows)
        if not self._active:
            return None
        eldest = next(iter(self._active.values()))
        due = self._passed_over_seconds >= self._patience_seconds
        batch = self._evenly(self._led_by(eldest), seconds) if due else self._shortest(seconds)
        self._note(batch, eldest)
        return batch

    def _file(self, free_rows: int) -> None:
        """Everybody on the level where they belong by now, newcomers among them."""
        for sequence in self._ran.values():
            self._levels.file(sequence)
        self._ran = {}
        for _ in range(min(free_rows, len(self._waiting))):
            sequence = self._waiting.pop()
            self._active[sequence.id] = sequence
            self._entering.add(sequence.id)
            self._levels.file(sequence)

    def _shortest(self, seconds: float) -> Batch:
        """So many of the shortest that all of them end, or the first level up to its first end: the cheaper per time step."""
        most = self._max_batch_rows
        level = self._evenly(list(islice(self._levels.first(), most)), seconds)
        nearby = islice(self._levels.up_to(self._costs.steps_within(seconds, 1)), _LOOKED_AT * most)
        shortest = sorted((sequence.remaining, sequence.id, sequence) for sequence in nearby)[:most]
        ending = rows_that_end([remaining for remaining, _, _ in shortest], seconds, self._costs)
        if ending == 0:
            return level
        leaders = [sequence for _, _, sequence in shortest[:ending]]
        batch = self._batch(leaders, leaders[-1].remaining, seconds)
        return batch if self._cost(batch) <= self._cost(level) else level

    def _evenly(self, leaders: list[Sequence], seconds: float) -> Batch:
        """Up to the first end among the leaders, if there is time."""
        first_end = min(sequence.remaining for sequence in leaders)
        steps = self._costs.steps_within(seconds, len(leaders))
        if steps < first_end:  # nobody ends: while few are active the machine keeps up, and short is better for who comes next
            crowded = max(_LEAST_CROWDED, min(1.0, len(self._active) / self._max_batch_rows))
            steps = self._costs.steps_within(crowded * seconds, len(leaders))
        return self._batch(leaders, min(steps, first_end), seconds)

    def _batch(self, leaders: list[Sequence], steps: int, seconds: float) -> Batch:
        rows = leaders + self._company(leaders, steps, seconds)
        return Batch(self._implementation, tuple(rows), tuple([min(steps, sequence.remaining) for sequence in rows]))

    def _cost(self, batch: Batch) -> float:
        """Predicted seconds per real time step."""
        return self._costs.seconds(batch.rows, batch.steps, batch.ragged) / batch.timesteps

    def _led_by(self, eldest: Sequence) -> list[Sequence]:
        """The eldest, and those next in age that do not end before it."""
        return self._eldest_of(self._max_batch_rows, lambda sequence: sequence.remaining >= eldest.remaining)

    def _company(self, leaders: list[Sequence], steps: int, seconds: float) -> list[Sequence]:
        """Those that run beside the leaders."""
        alone = self._costs.seconds(len(leaders), steps)
        allowed = min(seconds, max(_COMPANY * alone, _LEAST_COMPANY * seconds))
        room = rows_beside(len(leaders), steps, allowed, self._max_batch_rows, self._costs)
        leading = {sequence.id for sequence in leaders}
        far = _LONG_TO_GO * steps
        return self._eldest_of(room, lambda sequence: sequence.remaining >= far and sequence.id not in leading)

    def _eldest_of(self, count: int, suitable: Callable[[Sequence], bool]) -> list[Sequence]:
        if count == 0:
            return []
        nearby = islice(self._active.values(), _LOOKED_AT * self._max_batch_rows)
        return list(islice(filter(suitable, nearby), count))

    def _note(self, batch: Batch, eldest: Sequence) -> None:
        self._ran = {sequence.id: sequence for sequence in batch.sequences}
        self._passed_over_seconds += self._costs.seconds(batch.rows, batch.steps, batch.ragged)
        if eldest.id in self._ran:
            self._passed_over_seconds = 0.0
        for sequence in batch.sequences:
            sequence.life = Life.ACTIVE
            self._active.move_to_end(sequence.id)
        self._entering -= self._ran.keys()
