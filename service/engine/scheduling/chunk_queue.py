"""The sequences of one implementation on one lane that are advanced chunk by chunk: who is in the next iteration, how far.

Those with the least left lead, newcomers or not, and go all their way in one iteration where that fits its time: whoever is
short is in and out. Some of those that have long to go may run beside them. The first in turn (by its turn, and later by
twice what it should take alone, which is a guess and therefore bounded) is owed three times as much time as it is passed over
for, and leads as soon as that is `patience_seconds`, with no more of the next ones beside it than make a step cheap, or fit
anyway. So it is through soon, and the old keep most of the time however many short ones come. Hence nobody starves: a sequence is
the first in turn as soon as those are through that came before it, or came not much later and are shorter. Pure: no clock, no
tensors.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from operator import attrgetter

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.scheduling.chunk_shape import rows_that_end
from cellserve.service.engine.scheduling.live_heap import LiveHeap
from cellserve.service.engine.scheduling.ordered_queue import OrderedQueue
from cellserve.service.engine.scheduling.priority_levels import PriorityLevels
from cellserve.service.engine.sequence import Life, Sequence

_LOOKED_AT = 2  # times the rows of a batch: how many of the first in turn are looked at to find suitable ones
_DEFERRED = 2.0  # times what a sequence takes alone: how much later than its arrival its turn is
_MOST_DEFERRED = 50.0  # times the patience: how much later at most, however wrong the fit may be
_OWED = 3.0  # times what it is passed over for: the time that the first in turn then has
_MOST_OWED = 2.0  # times the patience: more is forgiven, or whoever is short would wait through several iterations
_SIMILAR = 3  # times the least left: those who have less than that left may go together up to the first end
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
        self._active: OrderedQueue[Sequence] = OrderedQueue()  # who has a row, or one kept free
        self._priority_levels = PriorityLevels()  # the active ones, by what they have left
        self._entering: set[int] = set()  # those of them that have not run yet
        self._ran: tuple[Sequence, ...] = ()  # in the last iteration: those who are here yet are to be filed anew
        self._owed_seconds = 0.0  # to the first in turn

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
        self._waiting.push((sequence.order, sequence.turn_seconds), sequence.id, sequence)

    def discard(self, sequence: Sequence) -> None:
        """Forgets a sequence, wherever it stands."""
        if self._active.discard(sequence.id):
            self._priority_levels.discard(sequence)
            self._entering.discard(sequence.id)
            if not self._active:
                self._ran = ()  # idle: nobody's requests and answers are kept
        else:
            self._waiting.discard(sequence.id)

    @property
    def owed_seconds(self) -> float:
        """How much time the first in turn is owed."""
        return self._owed_seconds

    def pass_over(self, seconds: float) -> None:
        """Counts time in which none of these ran though they could have."""
        self._owed_seconds += seconds

    def foremost(self, free_rows: int) -> Sequence | None:
        """One of those with the least left; None if nobody can run. Up to `free_rows` that wait enter first."""
        self._file(free_rows)
        return next(self._priority_levels.foremost(), None)

    def next_batch(self, free_rows: int, seconds: float) -> Batch | None:
        """The next iteration, of about `seconds`; None if nobody can run. Up to `free_rows` that wait enter first."""
        self._file(free_rows)
        if not self._active:
            return None
        first = next(iter(self._active))
        due = self._owed_seconds >= self._patience_seconds
        batch = self._evenly(self._led_by(first, seconds), seconds) if due else self._shortest(seconds)
        self._note(batch, first, due)
        return batch

    def _file(self, free_rows: int) -> None:
        """Everybody on the level where they belong by now, newcomers among them."""
        self._priority_levels.file([sequence for sequence in self._ran if sequence.id in self._active])
        self._ran = ()
        newcomers = [self._waiting.pop() for _ in range(min(free_rows, len(self._waiting)))]
        for sequence in newcomers:
            deferred = min(_DEFERRED * self._costs.seconds(1, sequence.steps), _MOST_DEFERRED * self._patience_seconds)
            self._active.add(sequence.turn_seconds + deferred, sequence.id, sequence)
        self._entering.update(sequence.id for sequence in newcomers)
        self._priority_levels.file(newcomers)

    def _shortest(self, seconds: float) -> Batch:
        """So many of the shortest that all of them end, or those alike up to their first end: the cheaper per time step."""
        shortest = sorted(islice(self._priority_levels.foremost(), self._max_batch_rows), key=attrgetter("remaining"))
        remaining = [sequence.remaining for sequence in shortest]
        alike = self._evenly(shortest[: bisect_left(remaining, _SIMILAR * remaining[0])], seconds)
        near = bisect_right(remaining, self._costs.steps_within(seconds, 1))
        ending = rows_that_end(remaining[:near], seconds, self._costs)
        if ending == 0:
            return alike
        batch = self._batch(shortest[:ending], remaining[:ending], seconds)
        return batch if self._cost(batch) <= self._cost(alike) else alike

    def _evenly(self, leaders: list[Sequence], seconds: float) -> Batch:
        """Up to the first end among the leaders, if there is time."""
        first_end = min([sequence.remaining for sequence in leaders])
        steps = self._costs.steps_within(seconds, len(leaders))
        if steps < first_end:  # nobody ends: while few are active the machine keeps up, and short is better for who comes next
            crowded = max(_LEAST_CROWDED, min(1.0, len(self._active) / self._max_batch_rows))
            steps = self._costs.steps_within(crowded * seconds, len(leaders))
        return self._batch(leaders, [min(steps, first_end)] * len(leaders), seconds)

    def _batch(self, leaders: list[Sequence], lengths: list[int], seconds: float) -> Batch:
        """lengths: of the leaders, the longest last."""
        company = self._company(leaders, lengths[-1], seconds)
        return Batch(self._implementation, (*leaders, *company), (*lengths, *[lengths[-1]] * len(company)))

    def _cost(self, batch: Batch) -> float:
        """Predicted seconds per real time step."""
        return self._costs.seconds(batch.rows, batch.steps, batch.ragged) / batch.timesteps

    def _led_by(self, first: Sequence, seconds: float) -> list[Sequence]:
        """The first in turn, and the next ones that do not end before it: so many that a step is cheap, and the time is used."""
        most = self._max_batch_rows
        rows = max(self._costs.enough_rows(most), self._costs.rows_within(seconds, first.remaining, most))
        return list(islice((sequence for sequence in self._in_turn() if sequence.remaining >= first.remaining), rows))

    def _company(self, leaders: list[Sequence], steps: int, seconds: float) -> list[Sequence]:
        """Those that run beside the leaders."""
        alone = self._costs.seconds(len(leaders), steps)
        allowed = min(seconds, max(_COMPANY * alone, _LEAST_COMPANY * seconds))
        room = self._costs.rows_within(allowed, steps, self._max_batch_rows) - len(leaders)
        if room <= 0:
            return []
        leading = {sequence.id for sequence in leaders}
        far = _LONG_TO_GO * steps
        company = (sequence for sequence in self._in_turn() if sequence.remaining >= far and sequence.id not in leading)
        return list(islice(company, room))

    def _in_turn(self) -> islice[Sequence]:
        return islice(self._active, _LOOKED_AT * self._max_batch_rows)

    def _note(self, batch: Batch, first: Sequence, due: bool) -> None:
        self._ran = batch.sequences
        seconds = self._costs.seconds(batch.rows, batch.steps, batch.ragged)
        if due:
            self._owed_seconds = max(0.0, self._owed_seconds - seconds)
        elif first in batch.sequences:
            self._owed_seconds = 0.0
        else:
            owed = min(self._owed_seconds + _OWED * seconds, _MOST_OWED * self._patience_seconds)
            self._owed_seconds = max(self._owed_seconds, owed)
        for sequence in batch.sequences:
            sequence.life = Life.ACTIVE
        if self._entering:
            self._entering.difference_update([sequence.id for sequence in batch.sequences])
