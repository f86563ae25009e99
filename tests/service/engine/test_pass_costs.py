"""What one sequence costs through all passes: the cheaper way of those that were measured."""

from __future__ import annotations

import pytest

from cellserve.service.engine.iteration_costs import IterationCosts
from cellserve.service.engine.pass_costs import seconds_alone


def taught(per_step: float, call: float = 0.0) -> IterationCosts:
    costs = IterationCosts()
    for _ in range(40):
        for steps in (1, 10, 100):
            costs.observe(1, steps, call + per_step * steps)
    return costs


@pytest.mark.parametrize(
    ("first", "second", "whole", "expected"),
    [
        (taught(1e-3), taught(2e-3), IterationCosts(), 0.05),
        (taught(1e-3), taught(2e-3), taught(1e-3), 0.03),
        (taught(1e-3), taught(2e-3), taught(5e-3), 0.05),
        (taught(1e-3), IterationCosts(), taught(5e-3), 0.15),
        (taught(1e-3), IterationCosts(), IterationCosts(), None),
    ],
)
def test_the_cheaper_of_what_is_known(
    first: IterationCosts, second: IterationCosts, whole: IterationCosts, expected: float | None
) -> None:
    found = seconds_alone((10, 20), (first, second, whole))
    assert found == (None if expected is None else pytest.approx(expected, rel=0.05))


def test_a_causal_network_has_one_pass_and_no_other_way() -> None:
    assert seconds_alone((10,), (taught(1e-3),)) == pytest.approx(0.01, rel=0.05)
    assert seconds_alone((10,), (IterationCosts(),)) is None


def test_at_once_there_is_but_one_call() -> None:
    """So going at once is tried although each pass alone is dear to call."""
    found = seconds_alone((10, 20), (taught(1e-4, call=2e-3), taught(1e-4, call=5e-3), IterationCosts()))
    assert found == pytest.approx(0.008, rel=0.05)
