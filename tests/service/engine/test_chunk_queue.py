"""Who is in the next iteration: newcomers first but at most half, older ones in turns, priorities, nobody starved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.chunk_queue import ChunkQueue
from cellserve.service.engine.cost_model import FIRST_STEPS, CostModel
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Life, Sequence, Work

ANY_ROWS = 10_000


def sequence(identity: int, steps: int = 1000, priority: int = 0) -> Sequence:
    return Sequence(identity, Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority), "2", 0.0)


def queue(max_batch_rows: int, *members: Sequence) -> ChunkQueue:
    made = ChunkQueue("2", CostModel(), max_batch_rows)
    for member in members:
        made.add(member)
    return made


def run(target: ChunkQueue, free_rows: int = ANY_ROWS) -> list[int]:
    """The ids of the next iteration, after which those that are through have left."""
    batch = target.next_batch(free_rows, lambda anyone_waiting: 0.002)
    if batch is None:
        return []
    advance(target, batch)
    return [member.id for member in batch.sequences]


def advance(target: ChunkQueue, batch: Batch) -> None:
    for member, length in zip(batch.sequences, batch.lengths):
        member.position += length
        if member.remaining == 0:
            target.discard(member)


def test_an_empty_queue_has_no_batch() -> None:
    assert run(queue(4)) == []


def test_newcomers_become_active_in_the_order_of_arrival() -> None:
    members = [sequence(i) for i in range(3)]
    target = queue(4, *members)
    assert (target.waiting, target.active) == (3, 0)
    assert run(target) == [0, 1, 2]
    assert (target.waiting, target.active) == (0, 3)
    assert {member.life for member in members} == {Life.ACTIVE}


def test_priority_goes_first_among_the_waiting() -> None:
    assert run(queue(2, sequence(0), sequence(1, priority=5), sequence(2, priority=5))) == [1, 2]


def test_newcomers_take_half_while_older_ones_wait() -> None:
    target = queue(4, *[sequence(i) for i in range(10)])
    assert run(target) == [0, 1, 2, 3]
    assert run(target) == [4, 5, 0, 1]
    assert run(target) == [6, 7, 2, 3]


def test_newcomers_take_what_older_ones_leave() -> None:
    target = queue(4, sequence(0))
    assert run(target) == [0]
    for i in range(1, 10):
        target.add(sequence(i))
    assert run(target) == [1, 2, 3, 0]


def test_newcomers_need_free_rows() -> None:
    target = queue(4, sequence(0), sequence(1), sequence(2))
    assert run(target, free_rows=2) == [0, 1]
    assert run(target, free_rows=0) == [0, 1]
    assert run(target, free_rows=1) == [2, 0, 1]


def test_with_one_row_newcomers_and_older_ones_alternate() -> None:
    target = queue(1, *[sequence(i) for i in range(3)])
    assert [run(target) for _ in range(6)] == [[0], [0], [1], [0], [2], [1]]


def test_the_chunk_ends_with_the_longest_and_shorter_rows_end_inside() -> None:
    batch = queue(4, sequence(0, steps=3), sequence(1, steps=5)).next_batch(ANY_ROWS, lambda anyone_waiting: 1.0)
    assert batch is not None
    assert batch.lengths == (3, 5)
    assert (batch.rows, batch.steps, batch.timesteps) == (2, 5, 8)


def test_the_first_chunk_is_short() -> None:
    batch = queue(4, sequence(0)).next_batch(ANY_ROWS, lambda anyone_waiting: 1.0)
    assert batch is not None
    assert batch.steps == FIRST_STEPS


def test_the_budget_hears_whether_anybody_is_left_waiting() -> None:
    heard: list[bool] = []

    def budget(anyone_waiting: bool) -> float:
        heard.append(anyone_waiting)
        return 1.0

    target = queue(2, sequence(0), sequence(1), sequence(2))
    target.next_batch(ANY_ROWS, budget)
    target.next_batch(ANY_ROWS, budget)
    assert heard == [True, False]


@pytest.mark.parametrize("was_active", [False, True])
def test_a_discarded_sequence_never_runs_again(was_active: bool) -> None:
    gone = sequence(0)
    target = queue(4, gone, sequence(1))
    if was_active:
        run(target)
    target.discard(gone)
    assert run(target) == [1]


@given(st.integers(1, 5), st.lists(st.lists(st.integers(1, 60), max_size=4), min_size=1, max_size=30))
def test_nobody_starves(max_batch_rows: int, arrivals: list[list[int]]) -> None:
    """However newcomers stream in, an active sequence waits at most 2·active / rows iterations, plus one."""
    target = queue(max_batch_rows)
    active: dict[int, tuple[Sequence, int]] = {}  # with the iterations since it last ran
    identity = 0
    for arriving in arrivals:
        for steps in arriving:
            target.add(sequence(identity, steps))
            identity += 1
        batch = target.next_batch(ANY_ROWS, lambda anyone_waiting: 0.002)
        if batch is None:
            continue
        ran = {member.id for member in batch.sequences}
        for number, (member, idle) in active.items():
            active[number] = (member, 0 if number in ran else idle + 1)
        active |= {member.id: (member, 0) for member in batch.sequences if member.id not in active}
        bound = 2 * -(-len(active) // max_batch_rows) + 1
        assert all(idle <= bound for _, idle in active.values())
        advance(target, batch)
        active = {number: entry for number, entry in active.items() if entry[0].remaining}
