"""Which pass runs next, with whom, how far: short before long, nobody starved, one pass per iteration, bounded storage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.pass_queue import PassQueue
from cellserve.service.engine.sequence import Sequence, Work

PASSES = 3
ROWS = 8
PATIENCE = 0.002
STEP = 1e-5


def sequence(identity: int, steps: int, priority: int = 0) -> Sequence:
    work = Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority)
    return Sequence(identity, work, "2", 0.0, (steps,) * PASSES)


def taught(step_seconds: float = STEP) -> IterationCosts:
    costs = IterationCosts()
    for _ in range(20):
        for rows in (1, 4):
            for steps in (1, 10, 100):
                costs.observe(rows, steps, step_seconds * steps)
    return costs


class Loop:
    """What a loop does with a PassQueue, whose iterations take STEP seconds per step whatever the rows."""

    def __init__(
        self, *members: Sequence, most_bytes: int = 1 << 30, rows: int = 4, costs: Callable[[], IterationCosts] = IterationCosts
    ) -> None:
        self.costs = (*(costs() for _ in range(PASSES)), IterationCosts())
        self.queue = PassQueue("2", self.costs, rows, PATIENCE, lambda steps: steps, most_bytes)
        self.free_rows = ROWS
        self.live: dict[int, Sequence] = {}
        self.with_row: set[int] = set()
        self.batches: list[tuple[int, Batch]] = []  # with the pass in which it was
        self.ended: list[int] = []
        for member in members:
            self.add(member)

    def add(self, member: Sequence) -> None:
        self.live[member.id] = member
        self.queue.add(member)

    def remove(self, identity: int) -> bool:
        """False if it is not (or no longer) there."""
        member = self.live.pop(identity, None)
        if member is None:
            return False
        self.queue.discard(member)
        self.free_rows += identity in self.with_row
        return True

    def iterate(self) -> Batch | None:
        batch = self.queue.next_batch(self.free_rows - self.queue.entering, PATIENCE)
        if batch is None:
            return None
        self.batches.append((batch.pass_index, batch))
        self.costs[-1 if batch.whole else batch.pass_index].observe(batch.rows, batch.steps, batch.steps * STEP, batch.ragged)
        for member, length in zip(batch.sequences, batch.lengths):
            if not batch.whole and member.id not in self.with_row:
                self.with_row.add(member.id)
                self.free_rows -= 1
            if member.advance(length):
                self.remove(member.id)
                self.ended.append(member.id)
        assert self.free_rows >= 0
        return batch

    def finish(self) -> None:
        while self.iterate() is not None:
            continue

    def until(self, identity: int) -> int:
        """Iterations until that one has ended."""
        count = 0
        while identity not in self.ended:
            assert self.iterate() is not None
            count += 1
        return count


def test_one_sequence_goes_through_its_passes_in_order() -> None:
    loop = Loop(sequence(0, 1000))
    loop.finish()
    assert loop.ended == [0]
    order = [index for index, _ in loop.batches]
    assert order == sorted(order)
    assert [sum(batch.timesteps for at, batch in loop.batches if at == index) for index in range(PASSES)] == [1000] * PASSES


def test_whoever_is_short_is_through_while_the_long_wait() -> None:
    """In whatever pass the long one is: two iterations of each pass, for the long one keeps half of the time."""
    for iterations in (1, 600, 1100):
        loop = Loop(sequence(0, 100_000))
        for _ in range(iterations):
            loop.iterate()
        assert 0 not in loop.ended
        loop.add(sequence(1, 8))
        assert loop.until(1) <= 2 * PASSES + 1


def test_short_ones_without_end_do_not_starve_the_long_one() -> None:
    loop = Loop(sequence(0, 20_000))
    for identity in range(1, 5_000):
        loop.add(sequence(identity, 100))
        loop.iterate()
        if 0 in loop.ended:
            break
    assert 0 in loop.ended


def test_whoever_fits_into_one_iteration_takes_all_passes_at_once() -> None:
    loop = Loop(costs=taught)
    loop.add(sequence(0, 1000))
    loop.add(sequence(1, 50))
    loop.add(sequence(2, 50))
    first = loop.iterate()
    assert first is not None
    assert first.whole
    assert sorted(loop.ended) == [1, 2]
    assert first.lengths == (150, 150)
    assert loop.queue.entering == 1
    loop.finish()
    assert not any(batch.whole for _, batch in loop.batches[1:])


def test_only_sequences_of_one_pass_run_side_by_side_and_their_counts_are_true() -> None:
    loop = Loop(*[sequence(identity, 700 + identity) for identity in range(6)])
    places: dict[int, int] = {}
    while (batch := loop.iterate()) is not None:
        assert len({places.get(member.id, 0) // member.steps for member in batch.sequences}) == 1
        for member, length in zip(batch.sequences, batch.lengths):
            places[member.id] = places.get(member.id, 0) + length
        assert loop.queue.active + loop.queue.waiting + loop.queue.entering == len(loop.live)
    assert places == {identity: 3 * (700 + identity) for identity in range(6)}


def test_priority_leads() -> None:
    loop = Loop(sequence(0, 500), sequence(1, 5000, priority=1), rows=1)
    batch = loop.iterate()
    assert batch is not None
    assert batch.sequences[0].id == 1


def test_the_large_wait_for_room_and_the_small_do_not_wait_for_them() -> None:
    giants = [sequence(identity, 1000) for identity in range(3)]
    loop = Loop(*giants, most_bytes=1200)
    loop.iterate()
    assert loop.queue.active + loop.queue.entering == 1  # let in beyond the limit
    loop.add(sequence(3, 100))
    loop.until(3)
    assert loop.ended == [3]
    loop.finish()
    assert sorted(loop.ended) == [0, 1, 2, 3]


def test_no_free_row_no_newcomer() -> None:
    loop = Loop(*[sequence(identity, 1000) for identity in range(12)])
    loop.iterate()
    assert loop.queue.waiting == 4
    loop.finish()
    assert sorted(loop.ended) == list(range(12))


operations = st.lists(st.one_of(st.integers(1, 400), st.just(0), st.just(-1)), max_size=60)


@settings(deadline=None)
@given(operations, st.integers(1, 4), st.integers(1, 600), st.booleans(), st.randoms(use_true_random=False))
def test_everybody_ends_once_and_nothing_is_left(
    moves: list[int], rows: int, most_bytes: int, known: bool, chance: Random
) -> None:
    loop = Loop(most_bytes=most_bytes, rows=rows, costs=taught if known else IterationCosts)
    made, cancelled = 0, set[int]()
    for move in moves:
        if move > 0:
            loop.add(sequence(made, move))
            made += 1
        elif move == 0:
            loop.iterate()
        elif made:
            victim = chance.randrange(made)
            if loop.remove(victim):
                cancelled.add(victim)
    loop.finish()
    assert sorted([*loop.ended, *cancelled]) == list(range(made))
    assert (loop.queue.waiting, loop.queue.active, loop.queue.entering) == (0, 0, 0)
    assert loop.free_rows == ROWS
