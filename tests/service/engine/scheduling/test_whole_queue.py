"""Whole sequences side by side: similar lengths, bounded padding and time, in order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.whole_queue import WholeQueue
from cellserve.service.engine.sequence import Sequence, Work

SECONDS = 0.005


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
    made = WholeQueue("2", costs, max_batch_rows)
    for member in members:
        made.add(member)
    return made


def run(target: WholeQueue) -> list[int]:
    batch = target.next_batch(SECONDS)
    if batch is None:
        return []
    assert batch.whole
    assert batch.lengths == tuple(member.total for member in batch.sequences)
    for member in batch.sequences:
        target.discard(member)
    return [member.id for member in batch.sequences]


def test_similar_lengths_run_together_first_come_first() -> None:
    target = queue(taught(1e-9, 1e-6), 8, sequence(0, 10), sequence(1, 100), sequence(2, 11), sequence(3, 101))
    assert target.waiting == 4
    assert [run(target), run(target), run(target)] == [[0, 2], [1, 3], []]
    assert target.waiting == 0


def test_priority_chooses_the_batch_and_the_place_in_it() -> None:
    target = queue(taught(1e-9, 1e-6), 2, sequence(0, 10), sequence(1, 100), sequence(2, 100, 1), sequence(3, 100, 2))
    assert [run(target), run(target), run(target)] == [[3, 2], [0], [1]]


def test_a_batch_takes_at_most_twice_the_time_of_an_iteration() -> None:
    costs = taught(1e-4, 0.0)  # 10 ms = a rows steps  at 100
    assert len(run(queue(costs, 64, *[sequence(i, 10) for i in range(20)]))) in (9, 10)


def test_whoever_takes_longer_runs_alone() -> None:
    target = queue(taught(1e-4, 0.0), 64, *[sequence(i, 1000) for i in range(2)])
    assert [run(target), run(target)] == [[0], [1]]


def test_the_steps_of_all_passes_count() -> None:
    twice = Sequence(7, sequence(7, 10).work, "2", 0.0, passes=(10, 10))
    batch = queue(IterationCosts(), 8, twice).next_batch(SECONDS)
    assert batch is not None
    assert batch.lengths == (20,)


def test_the_foremost_is_first_in_line() -> None:
    target = queue(IterationCosts(), 8, sequence(0, 10), sequence(1, 100, priority=1))
    assert (first := target.foremost()) is not None
    assert first.id == 1
    assert queue(IterationCosts(), 8).foremost() is None


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
    while batch := target.next_batch(SECONDS):
        assert batch.timesteps >= 0.749 * batch.rows * batch.steps
        seen += [member.id for member in batch.sequences]
    assert sorted(seen) == list(range(len(lengths)))
