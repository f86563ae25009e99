"""How many rows go best into one iteration of a given time. Pure: rows are given by what they have left."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence as Rows
from itertools import accumulate

from cellserve.service.engine.costs.iteration_costs import IterationCosts


def rows_that_end(remaining: Rows[int], seconds: float, costs: IterationCosts) -> int:
    """How many of those with `remaining` steps, ascending, to end in one iteration of `seconds`: 0 if not even one can.

    Of the whole, the half, the quarter … each with all its equals, those with the lowest cost per real time step.
    """
    timesteps = list(accumulate(remaining))
    costs_per_step: dict[int, float] = {}
    rows = len(remaining)
    while rows:
        steps = remaining[rows - 1]
        for count in (bisect_right(remaining, steps), rows):
            if count not in costs_per_step:
                costs_per_step[count] = costs.seconds(count, steps, remaining[0] < steps) / timesteps[count - 1]
        rows //= 2
    for count in sorted(costs_per_step, key=costs_per_step.__getitem__):
        steps = remaining[count - 1]
        if steps <= costs.steps_within(seconds, count, remaining[0] < steps):
            return count
    return 0
