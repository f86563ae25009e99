"""A lane under overload without threads and without time: arrivals, true costs and a clock that only they move.

What the engine does around the scheduler and the admission is done here in the same order: admit, expire, next_batch, retire.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellserve.service.engine.admission.admission import Admission
from cellserve.service.engine.admission.appointments import Appointments
from cellserve.service.engine.admission.backlog import Backlog
from cellserve.service.engine.asker import Asker
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget
from cellserve.service.engine.scheduling.chunk_queue import ChunkQueue
from cellserve.service.engine.scheduling.overload_budget import OverloadBudget
from cellserve.service.engine.scheduling.scheduler import Scheduler
from cellserve.service.engine.sequence import Sequence as Sequence_
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import CAUSE, Overloaded

MOST_ROWS = 64
KEY = VersionKey("m", 1)
_INPUTS = np.zeros((2000, 1), np.float32)


@dataclass(frozen=True)
class Costs:
    """What an iteration truly takes. factor: by the clock, what it costs more or less than before."""

    row_step: float = 20e-6
    step: float = 80e-6
    row: float = 2e-6
    call: float = 150e-6
    factor: Callable[[float], float] = lambda now_seconds: 1.0

    def seconds(self, rows: int, steps: int, now_seconds: float) -> float:
        return self.factor(now_seconds) * ((self.row_step * rows + self.step) * steps + self.row * rows + self.call)


@dataclass(frozen=True, order=True)
class Arrival:
    at_seconds: float
    steps: int
    client: str = ""
    ticket: str = ""


@dataclass
class Result:
    """Counts by length; ends: why those that were let in did not end in time. waits: of those that did, by length."""

    came: Counter[int] = field(default_factory=Counter)
    let_in: Counter[int] = field(default_factory=Counter)
    in_time: Counter[int] = field(default_factory=Counter)
    by_client: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    returned: int = 0
    returned_let_in: int = 0
    most_waiting: int = 0

    @property
    def kept(self) -> float:
        """Of those that were let in, which part ended in time."""
        return self.in_time.total() / max(1, self.let_in.total())

    def steps_in_time(self) -> int:
        return sum(steps * number for steps, number in self.in_time.items())


class Overloading:
    """One lane of one implementation.

    returning_from_seconds: since then, who is refused comes again, once. dice: seeds the spread of hints.
    """

    def __init__(
        self, costs: Costs, deadline_seconds: float | None, returning_from_seconds: float = float("inf"), dice: int = 0
    ) -> None:
        self._costs = costs
        self._deadline_seconds = deadline_seconds
        self._returning_from_seconds = returning_from_seconds
        self._backlog = Backlog(MOST_ROWS)
        self._admission = Admission(10.0, 10**9, Appointments(), random.Random(dice).random)
        arrivals = ChunkBudget(0.002, 0.010)
        self._arrived = arrivals.arrived
        budget = OverloadBudget(arrivals, lambda: self._admission.refused_seconds)
        self._scheduler = Scheduler(lambda label, costs: ChunkQueue(label, costs[0], MOST_ROWS, 0.002), budget, 1, self._least)
        self._number = 0
        self.now_seconds = 0.0
        self.result = Result()

    def run(self, arrivals: Sequence[Arrival]) -> Result:
        """Until the last one has ended."""
        coming = list(arrivals)
        heapq.heapify(coming)
        while coming or self._scheduler.live:
            if not self._scheduler.live:
                self.now_seconds = max(self.now_seconds, coming[0].at_seconds)
            while coming and coming[0].at_seconds <= self.now_seconds:
                self._arrive(heapq.heappop(coming), coming)
            self._expire()
            self._iterate()
        return self.result

    def _arrive(self, arrival: Arrival, coming: list[Arrival]) -> None:
        result, steps = self.result, arrival.steps
        result.came[steps] += 1
        result.returned += bool(arrival.ticket)
        deadline = None if self._deadline_seconds is None else arrival.at_seconds + self._deadline_seconds
        asker = Asker(arrival.client, ticket=arrival.ticket)
        alone = not self._scheduler.live
        try:
            estimate = self._admission.admit(
                steps, deadline, asker, self.now_seconds, self._backlog, (self._backlog,), unasked=alone
            )
        except Overloaded as refusal:
            result.causes[refusal.metadata[CAUSE]] += 1
            returns = arrival.at_seconds >= self._returning_from_seconds
            if returns and not arrival.ticket and refusal.ticket and refusal.retry_after_seconds:
                again = self.now_seconds + refusal.retry_after_seconds
                heapq.heappush(coming, Arrival(again, steps, arrival.client, refusal.ticket))
            return
        result.let_in[steps] += 1
        result.returned_let_in += bool(arrival.ticket)
        work = Work(KEY, (_INPUTS[:steps],), deadline_seconds=deadline)
        sequence = Sequence_(self._number, work, "x", self.now_seconds, (), estimate)
        self._number += 1
        self._arrived(self.now_seconds)
        self._scheduler.admit(sequence)
        result.most_waiting = max(result.most_waiting, self._scheduler.live)

    def _expire(self) -> None:
        for sequence in self._scheduler.expire(self.now_seconds):
            deadline = sequence.work.deadline_seconds
            self.result.ends["expired" if deadline is not None and deadline <= self.now_seconds else "dropped"] += 1
            self._end(sequence)

    def _iterate(self) -> None:
        batch = self._scheduler.next_batch(self.now_seconds, 1024 - self._scheduler.active)
        if batch is None:
            return
        started = self.now_seconds
        seconds = self._costs.seconds(batch.rows, batch.steps, started)
        self.now_seconds += seconds
        self._backlog.computed(batch.timesteps, batch.steps, seconds)
        for sequence in self._scheduler.retire(batch, started, seconds, seconds):
            deadline = sequence.work.deadline_seconds
            if deadline is None or self.now_seconds <= deadline:
                self.result.in_time[sequence.total] += 1
                self.result.by_client[sequence.estimate.client] += sequence.total
            else:
                self.result.ends["late"] += 1
            self._end(sequence)

    def _end(self, sequence: Sequence_) -> None:
        estimate, taken = sequence.estimate, self.now_seconds - sequence.submitted_seconds
        self._backlog.end(sequence.total, sequence.left)
        self._admission.end(estimate)
        self._backlog.learn(sequence.total, estimate.predicted_seconds, taken, sequence.left)

    def _least(self, sequence: Sequence_, now_seconds: float) -> float:
        return 0.0 if sequence.started_seconds is not None else self._backlog.least_seconds(sequence.left)


def poisson(seed: int, rate: float, seconds: float, lengths: Sequence[int], client: str = "") -> list[Arrival]:
    dice = random.Random(seed)
    arrivals: list[Arrival] = []
    at = dice.expovariate(rate)
    while at < seconds:
        arrivals.append(Arrival(at, dice.choice(lengths), client))
        at += dice.expovariate(rate)
    return arrivals


def saturated_steps_per_second(costs: Costs, lengths: Sequence[int], in_flight: int = 32, seconds: float = 1.5) -> float:
    """What a lane computes while so many are always under way."""
    dice = random.Random(0)
    budget = ChunkBudget(0.002, 0.010)
    scheduler = Scheduler(lambda label, costs: ChunkQueue(label, costs[0], MOST_ROWS, 0.002), budget)
    now, number, steps = 0.0, 0, 0

    def add() -> None:
        nonlocal number
        scheduler.admit(Sequence_(number, Work(KEY, (_INPUTS[: dice.choice(lengths)],)), "x", now))
        budget.arrived(now)
        number += 1

    for _ in range(in_flight):
        add()
    while now < seconds:
        batch = scheduler.next_batch(now, 1024 - scheduler.active)
        assert batch is not None
        started, spent = now, costs.seconds(batch.rows, batch.steps, now)
        now += spent
        for ended in scheduler.retire(batch, started, spent, spent):
            steps += ended.total
            add()
    return steps / now
