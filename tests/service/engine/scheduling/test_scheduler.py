"""Scheduler: turns of implementations, deadlines, cancellation, and what an iteration books."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.costs.pass_costs import PassCosts
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.chunk_budget import ChunkBudget
from cellserve.service.engine.scheduling.chunk_queue import ChunkQueue
from cellserve.service.engine.scheduling.scheduler import Scheduler
from cellserve.service.engine.sequence import Life, Sequence, Work

ROWS = 100


def sequence(identity: int, implementation: str = "2", steps: int = 1000, deadline: float | None = None) -> Sequence:
    inputs = (np.zeros((steps, 1), np.float32),)
    return Sequence(identity, Work(VersionKey("m", 1), inputs, deadline_seconds=deadline), implementation, 5.0)


class Watched(Scheduler):
    """`known`: the costs that its queues were made around, by implementation."""

    def __init__(self, max_batch_rows: int) -> None:
        self.known: dict[str, IterationCosts] = {}
        self._max_batch_rows = max_batch_rows
        super().__init__(self._queue_of, ChunkBudget(0.002, 0.01))

    def _queue_of(self, label: str, costs: PassCosts) -> ChunkQueue:
        self.known[label] = costs[0]
        return ChunkQueue(label, costs[0], self._max_batch_rows, 0.002)


def scheduler(*members: Sequence, max_batch_rows: int = 4) -> Watched:
    made = Watched(max_batch_rows)
    for member in members:
        made.admit(member)
    return made


def next_batch(target: Scheduler, free_rows: int = ROWS) -> Batch:
    batch = target.next_batch(10.0, free_rows)
    assert batch is not None
    return batch


def test_one_implementation_per_batch_and_each_in_its_turn() -> None:
    target = scheduler(sequence(0, "0"), sequence(1, "2"), sequence(2, "0"), sequence(3, "fused"))
    turns = [next_batch(target) for _ in range(6)]
    assert [batch.implementation for batch in turns] == ["0", "2", "fused", "0", "2", "fused"]
    assert [[member.id for member in batch.sequences] for batch in turns[:3]] == [[0, 2], [1], [3]]


def test_an_implementation_without_a_free_row_keeps_its_turn() -> None:
    target = scheduler(sequence(0, "0"), sequence(1, "2"))
    assert next_batch(target).implementation == "0"
    assert next_batch(target, free_rows=0).implementation == "0"
    assert next_batch(target, free_rows=1).implementation == "2"


def test_nobody_to_run() -> None:
    assert scheduler().next_batch(10.0, ROWS) is None


def test_retire_books_steps_shares_and_costs() -> None:
    short, long = sequence(0, steps=2), sequence(1, steps=1000)
    target = scheduler(short, long)
    batch = next_batch(target)
    assert batch.lengths == (2, 2)
    assert target.retire(batch, started_seconds=7.0, seconds=0.5, cost_seconds=0.25) == [short]
    assert (short.life, long.life) == (Life.DONE, Life.ACTIVE)
    assert (short.position, long.position) == (2, 2)
    assert short.started_seconds == long.started_seconds == 7.0
    assert short.compute_seconds == pytest.approx(0.25)  # 2 of 4 steps
    assert long.compute_seconds == pytest.approx(0.25)
    assert target.known["2"].seconds(2, 2) == pytest.approx(0.25, rel=0.01)
    assert (target.live, target.waiting, target.active) == (1, 0, 1)


def test_an_iteration_may_be_booked_in_two_halves() -> None:
    """What the next decision needs at once, the rest when it is known; together the same as in one."""
    members = [(sequence(0, steps=2), sequence(1, steps=1000)) for _ in range(2)]
    whole, halves = (scheduler(*pair) for pair in members)
    batch = next_batch(whole)
    whole.retire(batch, 7.0, 0.5, 0.5)
    batch = next_batch(halves)
    assert halves.launched(batch, 7.0) == [members[1][0]]
    assert members[1][1].position == 2
    assert members[1][1].compute_seconds == 0
    assert halves.live == 1
    following = next_batch(halves)
    assert [member.id for member in following.sequences] == [1]
    halves.collected(batch, 0.5)
    for one, other in zip(*members):
        assert (one.position, one.iterations, one.life) == (other.position, other.iterations, other.life)
        assert (one.started_seconds, one.compute_seconds) == (other.started_seconds, other.compute_seconds)
    assert whole.known["2"].seconds(2, 2) == halves.known["2"].seconds(2, 2) > 0


@pytest.mark.parametrize("active", [False, True])
def test_cancel(active: bool) -> None:
    member = sequence(0)
    target = scheduler(member)
    if active:
        next_batch(target)
    assert target.cancel(0) is member
    assert member.life is Life.DONE
    assert target.cancel(0) is None
    assert target.next_batch(10.0, ROWS) is None
    assert (target.live, target.waiting, target.active) == (0, 0, 0)


@pytest.mark.parametrize("active", [False, True])
def test_expire_takes_those_whose_time_has_come(active: bool) -> None:
    members = [sequence(0, deadline=30.0), sequence(1, deadline=20.0), sequence(2), sequence(3, deadline=25.0)]
    target = scheduler(*members)
    if active:
        next_batch(target)
    assert target.expire(19.9) == []
    assert [member.id for member in target.expire(25.0)] == [1, 3]
    assert target.expire(25.0) == []
    assert [member.id for member in target.sequences()] == [0, 2]


def test_a_completed_sequence_does_not_expire() -> None:
    target = scheduler(sequence(0, steps=1, deadline=20.0))
    target.retire(next_batch(target), 10.0, 0.001, 0.001)
    assert target.expire(1000.0) == []


def test_a_long_queue_costs_no_more_per_iteration() -> None:
    """Counted, not timed: an iteration looks at no waiting sequence beyond those it takes."""
    looked_at = 0

    class Watched(Sequence):
        __slots__ = ()

        @property
        def remaining(self) -> int:
            nonlocal looked_at
            looked_at += 1
            return super().remaining

        @remaining.setter
        def remaining(self, steps: int) -> None:
            Sequence.remaining.__set__(self, steps)  # type: ignore[attr-defined]

    target = scheduler(max_batch_rows=8)
    work = sequence(0).work
    for i in range(100_000):
        target.admit(Watched(i, work, "2", 0.0))
    for _ in range(10):
        assert next_batch(target).rows == 8
        target.expire(10.0)
    assert looked_at < ROWS + 10 * 8 * 8
