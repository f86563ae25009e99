"""CostModel on synthetic measurements: it finds the law, never goes negative, and survives stalls."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.model import FIRST_STEPS, CostModel

LAW = (2e-6, 3e-5, 1e-4)
SMALL_NETWORK = (2e-7, 1e-7, 4e-6, 8e-5)  # rows and calls cost more than steps


def law_seconds(rows: int, steps: int) -> float:
    a, b, c = LAW
    return (a * rows + b) * steps + c


def small_network_seconds(rows: int, steps: int) -> float:
    a, b, d, c = SMALL_NETWORK
    return (a * rows + b) * steps + d * rows + c


def taught_by_a_backlog(seed: int, iterations: int) -> CostModel:
    """The shapes in which a small network's backlog is worked off: nearly all full, of moderate length; a few short or narrow."""
    chance = random.Random(seed)
    costs = CostModel()
    for i in range(iterations):
        rows, steps = 64, chance.randint(9, 42)
        if i % 6 == 0:
            rows, steps = chance.randint(4, 20), chance.randint(60, 160)
        elif i % 10 == 0:
            steps = chance.randint(1, 6)
        costs.observe(rows, steps, small_network_seconds(rows, steps) * chance.uniform(0.9, 1.3))
    return costs


def taught(observations: int = 200, seed: int = 1, noise: float = 0.0) -> CostModel:
    chance = random.Random(seed)
    costs = CostModel()
    for _ in range(observations):
        rows, steps = chance.randint(1, 64), chance.randint(1, 60)
        costs.observe(rows, steps, law_seconds(rows, steps) * chance.uniform(1, 1 + noise))
    return costs


def test_before_any_measurement_the_chunk_is_short() -> None:
    assert CostModel().steps_within(10.0, 1) == FIRST_STEPS
    assert not CostModel().trusted


def test_it_finds_the_law() -> None:
    costs = taught()
    for rows, steps in ((1, 1), (1, 60), (64, 1), (64, 60), (30, 30)):
        assert costs.seconds(rows, steps) == pytest.approx(law_seconds(rows, steps), rel=0.1)


def test_it_finds_it_through_noise() -> None:
    costs = taught(noise=0.3)
    for rows, steps in ((1, 40), (64, 20), (30, 30)):
        assert costs.seconds(rows, steps) == pytest.approx(law_seconds(rows, steps), rel=0.35)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(64, 1), (64, 4), (64, 30), (8, 80), (16, 160)])
def test_it_finds_what_calls_and_rows_cost_however_short(seed: int, shape: tuple[int, int]) -> None:
    costs = taught_by_a_backlog(seed, 80)
    assert costs.seconds(*shape) == pytest.approx(1.1 * small_network_seconds(*shape), rel=0.3)


@pytest.mark.parametrize("shape", [(64, 1), (8, 80), (16, 160)])
def test_what_was_learnt_of_other_shapes_stays_while_all_iterations_are_alike(shape: tuple[int, int]) -> None:
    costs, chance = taught_by_a_backlog(1, 80), random.Random(1)
    for _ in range(1000):
        costs.observe(64, 30, small_network_seconds(64, 30) * chance.uniform(0.9, 1.3))
    assert costs.seconds(*shape) == pytest.approx(1.1 * small_network_seconds(*shape), rel=0.4)


def test_steps_within_a_time_take_about_that_time() -> None:
    steps = taught().steps_within(0.002, 32)
    assert law_seconds(32, steps) == pytest.approx(0.002, rel=0.15)


@pytest.mark.parametrize(
    ("steps", "seconds", "expected"),
    [
        (30, 0.002, 17),
        (30, 1.0, 64),  # the batch is full
        (30, 0.0001, 0),  # not even the call
        (60, 0.002, 1),
    ],
)
def test_rows_within_a_time_are_those_that_take_it(steps: int, seconds: float, expected: int) -> None:
    assert taught().rows_within(seconds, steps, 64) == pytest.approx(expected, abs=2)


def test_extrapolation_is_bounded() -> None:
    costs = CostModel()
    costs.observe(1, 8, 1e-6)
    assert costs.steps_within(1000.0, 1) == 32


@given(st.integers(0, 1000), st.integers(1, 64), st.floats(0.0005, 0.05))
def test_on_a_busy_machine_no_chunk_runs_away(seed: int, rows: int, budget: float) -> None:
    """Whatever noise (late by up to 8 times, often) does to the fit, the true time stays within twice the budget and a call."""
    chance = random.Random(seed)
    costs = CostModel()
    steps = 8
    for _ in range(60):
        late = chance.uniform(1, 8) if chance.random() < 0.5 else 1.0
        costs.observe(rows, steps, law_seconds(rows, steps) * late)
        rows = min(64, max(1, rows + chance.randint(-4, 6)))
        steps = costs.steps_within(budget, rows)
        assert steps == 1 or law_seconds(rows, steps) <= 2 * budget + LAW[2]


def test_a_fit_gone_wrong_does_not_shrink_the_chunk_below_what_was_just_seen() -> None:
    costs = CostModel()
    for _ in range(30):
        costs.observe(16, 20, 0.020)  # a slow time
    costs.observe(16, 20, 0.002)
    assert costs.steps_within(0.002, 16) >= 10


def test_a_budget_below_the_fixed_cost_still_moves_on() -> None:
    assert taught().steps_within(1e-6, 64) == 1


def test_an_unseen_size_is_not_taken_for_free() -> None:
    """Only one shape measured: eight times the rows is predicted to cost markedly more, so its chunk is shorter."""
    costs = CostModel()
    for _ in range(20):
        costs.observe(8, 16, 0.001)
    assert costs.seconds(8, 16) == pytest.approx(0.001, rel=0.01)
    assert costs.seconds(64, 16) > 0.002


def test_one_stalled_measurement_changes_little() -> None:
    costs = taught()
    before = costs.seconds(32, 30)
    costs.observe(32, 30, 3.0)
    assert costs.seconds(32, 30) < 1.3 * before


def test_a_stall_in_the_very_first_measurement_is_forgotten_at_once() -> None:
    costs = CostModel()
    costs.observe(1, 8, 0.5)
    costs.observe(1, 8, 0.001)
    costs.observe(1, 8, 0.001)
    assert costs.seconds(1, 8) == pytest.approx(0.001, rel=0.1)


def test_a_lasting_change_is_learnt() -> None:
    costs = taught()
    for _ in range(200):
        costs.observe(32, 30, 10 * law_seconds(32, 30))
    assert costs.seconds(32, 30) == pytest.approx(10 * law_seconds(32, 30), rel=0.2)


@pytest.mark.parametrize(("row_seconds", "rows"), [(1e-3, 8), (5e-6, 12), (1e-6, 60), (1e-9, 64)])
def test_rows_are_enough_when_more_of_them_save_hardly_anything(row_seconds: float, rows: int) -> None:
    """A step costs ten microseconds beside its rows: shared by so many, a sixth of what a row costs."""
    costs = CostModel()
    for _ in range(30):
        for size in ((1, 1), (1, 100), (8, 10), (64, 1), (64, 100)):
            costs.observe(*size, (row_seconds * size[0] + 1e-5) * size[1])
    assert costs.enough_rows(64) == pytest.approx(rows, abs=1)
    assert costs.enough_rows(4) == 4


def test_before_the_first_measurement_all_rows_may_go_together() -> None:
    assert CostModel().enough_rows(64) == 64


@given(st.lists(st.tuples(st.integers(1, 256), st.integers(1, 1000), st.floats(0, 10)), max_size=60))
def test_coefficients_are_never_negative_and_a_chunk_never_empty(measurements: list[tuple[int, int, float]]) -> None:
    costs = CostModel()
    for rows, steps, seconds in measurements:
        costs.observe(rows, steps, seconds)
        assert min(costs.coefficients) >= 0
        assert max(costs.coefficients) < 1e9
        assert costs.steps_within(0.002, rows) >= 1
