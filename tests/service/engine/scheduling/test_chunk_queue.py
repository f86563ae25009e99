"""Who is in the next iteration: the shortest first, others beside them, each in its turn, priorities, nobody starved."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.costs.model import FIRST_STEPS
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.chunk_queue import ChunkQueue
from cellserve.service.engine.sequence import Life, Sequence, Work

ANY_ROWS = 10_000
SECONDS = 0.002
PATIENCE = 0.002


def law_seconds(rows: int, steps: int) -> float:
    """One row can go 95 steps in SECONDS, 64 rows 6."""
    return (5e-6 * rows + 1e-5) * steps + 5e-4


def taught() -> IterationCosts:
    costs = IterationCosts()
    for _ in range(10):
        for rows, steps in ((1, 1), (1, 100), (8, 10), (64, 1), (64, 100)):
            costs.observe(rows, steps, law_seconds(rows, steps))
            costs.observe(rows, steps, law_seconds(rows, steps), ragged=True)
    return costs


def dear_when_ragged() -> IterationCosts:
    costs = taught()
    for _ in range(100):
        costs.observe(8, 10, 4 * law_seconds(8, 10), ragged=True)
    costs.observe(1, 100, law_seconds(1, 100))  # so that chunks may be as long again
    return costs


def sequence(identity: int, steps: int = 1000, priority: int = 0, submitted_seconds: float = 0.0) -> Sequence:
    work = Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority)
    return Sequence(identity, work, "2", submitted_seconds)


def queue(max_batch_rows: int, *members: Sequence, costs: IterationCosts | None = None) -> ChunkQueue:
    made = ChunkQueue("2", taught() if costs is None else costs, max_batch_rows, PATIENCE)
    for member in members:
        made.add(member)
    return made


def run(target: ChunkQueue, free_rows: int = ANY_ROWS) -> list[int]:
    """The ids of the next iteration, after which those that are through have left."""
    batch = target.next_batch(free_rows, SECONDS)
    if batch is None:
        return []
    advance(target, batch)
    return [member.id for member in batch.sequences]


def advance(target: ChunkQueue, batch: Batch) -> None:
    for member, length in zip(batch.sequences, batch.lengths):
        if member.advance(length):
            target.discard(member)


def test_an_empty_queue_has_no_batch() -> None:
    assert run(queue(4)) == []


def test_newcomers_become_active_in_the_order_of_arrival() -> None:
    members = [sequence(i) for i in range(3)]
    target = queue(4, *members)
    assert (target.waiting, target.active) == (3, 0)
    assert run(target) == [0, 1, 2]
    assert (target.waiting, target.active, target.entering) == (0, 3, 0)
    assert {member.life for member in members} == {Life.ACTIVE}


def test_priority_goes_first() -> None:
    assert run(queue(2, sequence(0), sequence(1, priority=5), sequence(2, priority=5))) == [1, 2]
    assert run(queue(1, sequence(0, steps=1), sequence(1, priority=5))) == [1]


def test_a_short_newcomer_is_in_and_out_beside_many_long_ones() -> None:
    target = queue(64, *[sequence(i, steps=100_000) for i in range(40)])
    run(target)
    target.add(sequence(99, steps=10))
    batch = target.next_batch(ANY_ROWS, SECONDS)
    assert batch is not None
    assert batch.sequences[0].id == 99
    assert set(batch.lengths) == {10}
    assert 1 < batch.rows < 41  # with some of the long ones, for at most as long again
    assert law_seconds(batch.rows, 10) <= 1.1 * max(2 * law_seconds(1, 10), SECONDS / 2)


def test_those_beside_the_short_ones_have_long_to_go() -> None:
    target = queue(8, sequence(0, steps=20), sequence(1, steps=79), sequence(2, steps=80), costs=dear_when_ragged())
    assert run(target) == [0, 2]


def test_a_chunk_that_ends_nobody_is_shorter_while_few_are_active() -> None:
    few = queue(64, *[sequence(i, steps=100_000) for i in range(8)]).next_batch(ANY_ROWS, SECONDS)
    many = queue(8, *[sequence(i, steps=100_000) for i in range(8)]).next_batch(ANY_ROWS, SECONDS)
    assert few is not None
    assert many is not None
    assert law_seconds(8, few.steps) < 0.6 * SECONDS < 0.8 * SECONDS < law_seconds(8, many.steps) < 1.1 * SECONDS


def test_the_first_in_turn_leads_when_it_has_been_passed_over_for_long() -> None:
    target = queue(1, sequence(0))
    assert run(target) == [0]
    turns: list[list[int]] = []
    for i in range(1, 40):
        target.add(sequence(i, steps=40, submitted_seconds=i / 10))
        turns.append(run(target))
    assert turns[0] == [1]
    assert [0] in turns[:8]
    assert [0] in turns[8:]


def test_whoever_came_first_has_its_turn_until_it_ends() -> None:
    """And does not share it with all who came later, which would keep everybody till the end."""
    target = queue(1, sequence(0, steps=400), sequence(1, steps=400, submitted_seconds=1e-3))
    for i in range(2, 200):
        target.add(sequence(i, steps=90, submitted_seconds=1.0))
    ran = [identity for _ in range(40) for identity in run(target)]
    assert 0 in ran
    assert 1 in ran
    assert max(place for place, identity in enumerate(ran) if identity == 0) < ran.index(1)


def test_who_takes_long_gives_way_to_whoever_came_a_little_later() -> None:
    target = queue(1, sequence(0, steps=5000), sequence(1, steps=400, submitted_seconds=0.05))
    for i in range(2, 200):
        target.add(sequence(i, steps=90, submitted_seconds=9.0))
    ran = [identity for _ in range(40) for identity in run(target)]
    assert ran.index(0) > max(place for place, identity in enumerate(ran) if identity == 1)


def test_however_wrong_the_fit_is_nobody_gives_way_for_long() -> None:
    """One iteration stood still for half a second, and so a step seems to take 16 ms."""
    costs = IterationCosts()
    costs.observe(1, 8, 0.5)
    target = queue(2, sequence(0, steps=5000), costs=costs)
    for i in range(1, 400):
        target.add(sequence(i, steps=20, submitted_seconds=i * 1e-3))
    ran = [identity for _ in range(120) for identity in run(target)]
    assert ran.index(0) < 100


def test_an_idle_queue_keeps_nobody() -> None:
    target, member = queue(1), sequence(0, steps=1)
    target.add(member)
    kept = weakref.ref(member.work.inputs[0])
    assert run(target) == [0]
    del member
    gc.collect()
    assert kept() is None


def test_newcomers_need_free_rows() -> None:
    target = queue(4, sequence(0), sequence(1), sequence(2))
    assert run(target, free_rows=2) == [0, 1]
    assert run(target, free_rows=0) == [0, 1]
    assert run(target, free_rows=1) == [0, 1, 2]


def test_those_that_have_not_run_yet_are_told_apart_for_they_will_take_rows() -> None:
    target = queue(2, *[sequence(i) for i in range(5)])
    assert run(target, free_rows=4) == [0, 1]
    assert (target.active, target.entering, target.waiting) == (2, 2, 1)


def test_the_chunk_ends_with_the_longest_and_shorter_rows_end_inside() -> None:
    batch = queue(4, sequence(0, steps=3), sequence(1, steps=5)).next_batch(ANY_ROWS, 1.0)
    assert batch is not None
    assert batch.lengths == (3, 5)
    assert batch.ragged
    assert (batch.rows, batch.steps, batch.timesteps) == (2, 5, 8)


def test_where_ragged_ends_are_dear_the_chunk_is_cut_at_the_first_end() -> None:
    members = (sequence(0, steps=40), sequence(1, steps=41))
    batch = queue(4, *members, costs=dear_when_ragged()).next_batch(ANY_ROWS, SECONDS)
    assert batch is not None
    assert batch.lengths == (40, 40)


def test_the_first_chunk_is_short() -> None:
    batch = queue(4, sequence(0), costs=IterationCosts()).next_batch(ANY_ROWS, 1.0)
    assert batch is not None
    assert batch.steps == FIRST_STEPS


@pytest.mark.parametrize("was_active", [False, True])
def test_a_discarded_sequence_never_runs_again(was_active: bool) -> None:
    gone = sequence(0)
    target = queue(4, gone, sequence(1))
    if was_active:
        run(target)
    target.discard(gone)
    assert run(target) == [1]


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.lists(st.integers(1, 400), max_size=4), min_size=1, max_size=60))
def test_nobody_starves(max_batch_rows: int, arrivals: list[list[int]]) -> None:
    """However many come: whoever is the first in turn runs again within the patience and an iteration."""
    target, costs = queue(max_batch_rows), taught()
    turns: dict[int, float] = {}
    elapsed, passed_over, longest = 0.0, 0.0, 2.2 * SECONDS
    for arriving in arrivals:
        for steps in arriving:
            identity = len(turns) and max(turns) + 1
            target.add(sequence(identity, steps, submitted_seconds=elapsed))
            turns[identity] = elapsed + 2 * costs.seconds(1, steps)
        batch = target.next_batch(ANY_ROWS, SECONDS)
        if batch is None:
            continue
        first = min(turns, key=lambda identity: (turns[identity], identity))
        seconds = costs.seconds(batch.rows, batch.steps)
        assert seconds <= longest
        elapsed += seconds
        passed_over = 0.0 if first in [member.id for member in batch.sequences] else passed_over + seconds
        assert passed_over <= PATIENCE + longest
        advance(target, batch)
        for member in batch.sequences:
            if not member.remaining:
                del turns[member.id]


@settings(deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 8))
def test_every_step_of_everybody_is_run_once(lengths: list[int], max_batch_rows: int) -> None:
    members = [sequence(i, steps) for i, steps in enumerate(lengths)]
    target = queue(max_batch_rows, *members)
    while (batch := target.next_batch(ANY_ROWS, SECONDS)) is not None:
        assert len({member.id for member in batch.sequences}) == batch.rows <= max_batch_rows
        assert min(batch.lengths) >= 1
        advance(target, batch)
    assert [member.remaining for member in members] == [0] * len(members)
    assert (target.waiting, target.active, target.entering) == (0, 0, 0)
