"""Workload: counts of two writers, and recent speed."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.workload import Workload


def test_load_counts_and_measures() -> None:
    load = Workload()
    assert load.seconds_per_step is None
    assert load.seconds_per_iteration == 0
    load.submitted_steps += 100
    load.submitted_sequences += 3
    load.computed(40, 2.0)
    load.dropped(10)
    assert load.outstanding_steps == 50
    assert load.outstanding_sequences == 2
    assert load.seconds_per_step == pytest.approx(0.05)
    assert load.seconds_per_iteration == pytest.approx(2.0)


def test_steps_whose_results_never_came_are_outstanding_no_longer() -> None:
    load = Workload()
    load.submitted_steps += 10
    load.lost(4)
    assert load.outstanding_steps == 6
    assert load.seconds_per_step is None


def test_what_was_booked_is_corrected_downwards_only() -> None:
    load = Workload()
    load.computed(10, 5.0)
    load.bound(1.0)
    assert load.seconds_per_step == 0.5
    load.bound(0.125)
    assert (load.seconds_per_step, load.finished_steps) == (0.125, 10)
