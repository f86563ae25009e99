"""IterationCosts: the factor of ragged iterations is found, resists stalls, and is forgotten when it is not seen."""

from __future__ import annotations

import random

import pytest

from cellserve.service.engine.costs.iteration_costs import IterationCosts


def law_seconds(rows: int, steps: int) -> float:
    return (2e-6 * rows + 3e-5) * steps + 1e-4


def taught(ragged_factor: float, late: float = 1.0) -> IterationCosts:
    chance = random.Random(1)
    costs = IterationCosts()
    for i in range(200):
        rows, steps = chance.randint(1, 64), chance.randint(1, 60)
        stall = late if chance.random() < 0.3 else 1.0
        if i % 2:
            costs.observe(rows, steps, stall * ragged_factor * law_seconds(rows, steps), ragged=True)
        else:
            costs.observe(rows, steps, law_seconds(rows, steps))
    return costs


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.5, 2.4])
def test_it_finds_the_factor(factor: float) -> None:
    costs = taught(factor)
    assert costs.ragged_factor == pytest.approx(factor, rel=0.1)
    assert costs.seconds(32, 20, ragged=True) == pytest.approx(factor * law_seconds(32, 20), rel=0.2)
    assert costs.seconds(32, 20) == pytest.approx(law_seconds(32, 20), rel=0.1)


def test_late_measurements_hardly_raise_it() -> None:
    assert taught(1.0, late=8.0).ragged_factor < 1.8


def test_unknown_it_is_one() -> None:
    costs = IterationCosts()
    assert costs.ragged_factor == 1.0
    assert not costs.trusted
    assert costs.seconds(8, 8, ragged=True) == 0.0


def test_the_first_iterations_teach_the_fit_even_if_ragged() -> None:
    costs = IterationCosts()
    for _ in range(10):
        costs.observe(8, 16, 0.001, ragged=True)
    assert costs.trusted
    assert costs.seconds(8, 16, ragged=True) == pytest.approx(0.001, rel=0.2)


def test_a_factor_no_longer_seen_is_forgotten() -> None:
    costs = taught(3.0)
    for _ in range(1000):
        costs.observe(32, 30, law_seconds(32, 30))
    assert costs.ragged_factor < 1.1


def test_fewer_steps_fit_if_ragged() -> None:
    costs = taught(2.4)
    assert costs.steps_within(0.002, 32, ragged=True) < costs.steps_within(0.002, 32)


def test_a_time_is_kept_even_if_ragged_iterations_were_cheaper() -> None:
    costs = taught(0.6)
    assert costs.steps_within(0.002, 32, ragged=True) == costs.steps_within(0.002, 32)


def test_ragged_iterations_alone_correct_a_fit_of_other_numbers_of_rows() -> None:
    """One row at a time cannot tell what further rows cost; when many come, some of them end in every iteration."""

    def seconds(rows: int, steps: int) -> float:
        return (8e-6 * rows + 1e-6) * steps + 5e-5

    chance = random.Random(2)
    costs = IterationCosts()
    for _ in range(500):
        steps = chance.randint(8, 60)
        costs.observe(1, steps, 3 * seconds(1, steps))  # a kernel that is slow on one row
    assert costs.seconds(48, 16, ragged=True) > 1.4 * seconds(48, 16)
    for _ in range(100):
        rows, steps = chance.randint(40, 64), chance.randint(8, 24)
        costs.observe(rows, steps, seconds(rows, steps), ragged=True)
    assert costs.seconds(48, 16, ragged=True) == pytest.approx(seconds(48, 16), rel=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_where_most_are_ragged_at_no_cost_calls_keep_theirs(seed: int) -> None:
    """A small network's backlog: whatever is even is even because it is long."""

    def seconds(rows: int, steps: int) -> float:
        return (2e-7 * rows + 1e-7) * steps + 4e-6 * rows + 8e-5

    chance = random.Random(seed)
    costs = IterationCosts()
    for i in range(200):
        rows, steps = (64, chance.randint(4, 42)) if i % 5 else (chance.randint(4, 64), chance.randint(60, 160))
        costs.observe(rows, steps, seconds(rows, steps) * chance.uniform(0.9, 1.3), ragged=steps < 60)
    for rows, steps in ((64, 1), (64, 20), (16, 160)):
        assert costs.seconds(rows, steps, ragged=True) == pytest.approx(1.1 * seconds(rows, steps), rel=0.35)
