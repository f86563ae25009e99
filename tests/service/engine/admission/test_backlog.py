"""What is ahead of a newcomer, and when it would be done."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.backlog import Backlog


def running(lengths: list[int], rows: int, iterations: int = 50, step_seconds: float = 1e-3, most_rows: int = 64) -> Backlog:
    """So many under way, `rows` side by side in each iteration, none having got anywhere yet; the longest was computed before."""
    backlog = Backlog(most_rows)
    for length in lengths:
        backlog.submit(length)
    for _ in range(iterations):
        backlog.computed(rows, 1, step_seconds)
        backlog.lost(-rows)  # as if nothing had been computed
    backlog.submit(max(lengths))
    backlog.end(max(lengths), 0)
    backlog.lost(max(lengths))
    return backlog


def test_nothing_is_predicted_before_anything_was_measured() -> None:
    backlog = Backlog(64)
    backlog.submit(100)
    assert backlog.prospect(100) == (0.0, 0.0)
    assert backlog.seconds == 0.0


def test_those_ahead_are_computed_first_and_the_own_steps_beside_others() -> None:
    ahead, own = running([100] * 8, rows=8).prospect(100)
    assert ahead == pytest.approx(800 * 1e-3 / 8 * 8 / 9)  # a ninth row is taken to cost nothing until it has run
    assert own == pytest.approx(100 * 1e-3)


def test_shorter_ones_go_first_and_longer_ones_have_what_they_are_owed() -> None:
    backlog = running([10, 10_000], rows=1, most_rows=1)
    assert backlog.prospect(10).ahead_seconds == pytest.approx((10 + 3 * 20) * 1e-3)
    assert backlog.prospect(10_000).ahead_seconds == pytest.approx(10.01)


def test_rows_that_have_not_run_yet_are_taken_to_cost_nothing() -> None:
    backlog = running([100], rows=1)
    for _ in range(31):
        backlog.submit(100)
    assert backlog.seconds == pytest.approx(32 * 100 * 1e-3 / 32)


def test_what_many_steps_take_is_not_told_by_few() -> None:
    backlog = running([1], rows=1)
    assert backlog.prospect(100_000).own_seconds == pytest.approx(2e-3)


def test_what_has_ended_is_not_ahead() -> None:
    backlog = Backlog(1)
    for length in (100, 200):
        backlog.submit(length)
    backlog.computed(100, 100, 0.1)
    backlog.end(100, 0)
    assert (backlog.sequences, backlog.steps) == (1, 200)
    backlog.end(200, 200)
    backlog.submit(50)
    backlog.withdraw(50)
    assert (backlog.sequences, backlog.steps, backlog.prospect(1).ahead_seconds) == (0, 0, 0.0)


def test_who_was_dropped_counts_with_what_it_would_still_have_needed() -> None:
    backlog = running([100] * 2, rows=1, most_rows=1)
    before = backlog.stretch(100, 0.1)
    backlog.learn(100, 0.1, 0.08)
    assert backlog.stretch(100, 0.1) < before
    backlog.learn(100, 0.1, 0.08, left=100)
    assert backlog.stretch(100, 0.1) > before


def test_short_predictions_say_nothing() -> None:
    backlog = Backlog(64)
    backlog.learn(1, 0.001, 10.0)
    assert backlog.stretch(1, 0.001) == 1.0


def test_an_iteration_that_was_kept_from_the_processor_hardly_counts() -> None:
    backlog = Backlog(64)
    for _ in range(64):
        backlog.submit(1000)
    for _ in range(50):
        backlog.computed(640, 10, 0.002)
    before = backlog.prospect(1000).ahead_seconds
    backlog.computed(640, 10, 1.0)
    assert backlog.prospect(1000).ahead_seconds < 2.0 * before


def test_the_first_iterations_are_no_measure() -> None:
    backlog = Backlog(64)
    for _ in range(100):
        backlog.submit(1000)
    for _ in range(2):
        backlog.computed(1, 1, 1.0)
        assert (backlog.seconds_per_step, backlog.prospect(10)) == (0.0, (0.0, 0.0))
    backlog.computed(640, 10, 0.002)
    assert backlog.prospect(1000).ahead_seconds == pytest.approx(100 * 1000 * 0.002 / 640, rel=0.1)


def test_iterations_that_stay_slow_are_believed_soon() -> None:
    backlog = Backlog(64)
    for _ in range(64):
        backlog.submit(1000)
    for _ in range(50):
        backlog.computed(640, 10, 0.002)
    before = backlog.seconds_per_step
    for _ in range(25):
        backlog.computed(640, 10, 0.04)
    assert backlog.seconds_per_step == pytest.approx(20.0 * before, rel=0.15)
