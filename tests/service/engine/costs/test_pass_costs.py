"""Who goes through all passes at once: by the cheaper way of those that were measured, and no further than they reach."""

from __future__ import annotations

import pytest

from cellserve.service.engine.costs.iteration_costs import IterationCosts
from cellserve.service.engine.costs.pass_costs import at_once


def taught(per_step: float, call: float = 0.0, longest: int = 100) -> IterationCosts:
    costs = IterationCosts()
    for _ in range(40):
        for steps in (1, longest // 10, longest):
            costs.observe(1, steps, call + per_step * steps)
    return costs


@pytest.mark.parametrize(
    ("first", "second", "whole", "expected_seconds"),
    [
        (taught(1e-3), taught(2e-3), IterationCosts(), 0.05),
        (taught(1e-3), taught(2e-3), taught(1e-3), 0.03),
        (taught(1e-3), taught(2e-3), taught(5e-3), 0.05),
        (taught(1e-3), IterationCosts(), taught(5e-3), 0.15),
    ],
)
def test_the_cheaper_of_what_is_known(
    first: IterationCosts, second: IterationCosts, whole: IterationCosts, expected_seconds: float
) -> None:
    assert not at_once((10, 20), (first, second, whole), 0.9 * expected_seconds)
    assert at_once((10, 20), (first, second, whole), 1.1 * expected_seconds)


def test_not_before_anything_is_known() -> None:
    assert not at_once((10, 20), (taught(1e-3), IterationCosts(), IterationCosts()), 1.0)


def test_at_once_there_is_but_one_call() -> None:
    """So going at once is tried although each pass alone is dear to call."""
    costs = (taught(1e-4, call=2e-3), taught(1e-4, call=5e-3), IterationCosts())
    assert not at_once((10, 20), costs, 0.0075)
    assert at_once((10, 20), costs, 0.0085)


def test_nobody_is_short_by_a_fit_alone() -> None:
    """One late measurement, and then the same shape again and again, leave a fit in which steps cost nothing."""
    whole, single = IterationCosts(), taught(1e-5)
    for seconds in (2e-3, *[1.6e-4] * 30):
        whole.observe(1, 60, seconds)
    assert whole.seconds(1, 300_000) < 0.004
    assert not at_once((100_000,) * 3, (single, single, single, whole), 0.004)
    assert at_once((30,) * 3, (single, single, single, whole), 0.004)


def test_each_pass_must_have_been_measured_nearly_so_far() -> None:
    short = taught(1e-9, longest=10)
    assert at_once((40, 40), (short, short, IterationCosts()), 1.0)
    assert not at_once((41, 10), (short, short, IterationCosts()), 1.0)
