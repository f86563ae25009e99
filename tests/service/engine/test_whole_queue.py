"""Whole sequences side by side: similar lengths, bounded padding and time, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.iteration_costs import IterationCosts
from cellserve.service.engine.sequence import Sequence, Work
from cellserve.service.engine.whole_queue import WholeQueue

MAX_CHUNK = 0.010


def sequence(identity: int, steps: int, priority: int = 0) -> Sequence:
    return Sequence(identity, Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority), "2", 0.0)


def taught(a: float, b: float) -> IterationCosts:
    costs = IterationCosts()
    for _ in range(20):
        for rows in (1, 8, 64):
            for steps in (1, 10, 100):
                costs.observe(rows, steps, (a * rows + b) * steps)
    return costs


def queue(costs: IterationCosts, max_batch_rows: int, *members: Sequence) -> WholeQueue:
    made = WholeQueue("2", costs, max_batch_rows, MAX_CHUNK)
    for member in members:
        made.add(member)
    return made


def run(target: WholeQueue) -> list[int]:
    batch = target.next_batch(0, 0.002)
    if batch is None:
        return []
    assert batch.lengths == tuple(member.steps for member in batch.sequences)
    for member in batch.sequences:
        target.discard(member)
    return [member.id for member in batch.sequences]


def test_similar_lengths_run_together_first_come_first() -> None:
    target = queue(taught(1e-9, 1e-6), 8, sequence(0, 10), sequence(1, 100), sequence(2, 11), sequence(3, 101))
    assert target.waiting == 4
    assert [run(target), run(target), run(target)] == [[0, 2], [1, 3], []]
    assert (target.waiting, target.active) == (0, 0)


def test_priority_chooses_the_batch_and_the_place_in_it() -> None:
    target = queue(taught(1e-9, 1e-6), 2, sequence(0, 10), sequence(1, 100), sequence(2, 100, 1), sequence(3, 100, 2))
    assert [run(target), run(target), run(target)] == [[3, 2], [0], [1]]


def test_mates_at_most_double_the_time_of_one() -> None:
    costs = taught(1e-4, 3.4e-4)  # 2 (a + b) = a rows + b  between 5 and 6 rows
    assert len(run(queue(costs, 64, *[sequence(i, 1000) for i in range(20)]))) == 5


def test_a_batch_within_a_chunk_is_never_too_long() -> None:
    costs = taught(1e-4, 0.0)  # 10 ms = a rows steps  at 100
    assert len(run(queue(costs, 64, *[sequence(i, 10) for i in range(20)]))) in (9, 10)


def test_before_measurements_batches_are_small() -> None:
    assert len(run(queue(IterationCosts(), 64, *[sequence(i, 10) for i in range(20)]))) == 4


def test_the_area_is_bounded() -> None:
    target = queue(taught(0.0, 1e-9), 64, *[sequence(i, 100_000) for i in range(3)])
    assert [run(target), run(target), run(target)] == [[0], [1], [2]]


def test_a_discarded_sequence_never_runs() -> None:
    gone = sequence(0, 10)
    target = queue(IterationCosts(), 8, gone, sequence(1, 10))
    target.discard(gone)
    assert target.waiting == 1
    assert run(target) == [1]


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_everybody_runs_once_and_at_most_a_quarter_is_padding(lengths: list[int]) -> None:
    target = queue(taught(1e-9, 1e-6), 16, *[sequence(i, steps) for i, steps in enumerate(lengths)])
    seen: list[int] = []
    while batch := target.next_batch(0, 0.002):
        assert batch.timesteps >= 0.749 * batch.rows * batch.steps
        seen += [member.id for member in batch.sequences]
    assert sorted(seen) == list(range(len(lengths)))
