"""How many rows go best into one iteration of a given time. Pure: rows are given by what they have left.

An iteration costs about (a·rows + b)·steps + c, so in a given time many rows go few steps or few rows go many.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence as Rows
from itertools import accumulate

from cellserve.service.engine.iteration_costs import IterationCosts


def rows_that_end(remaining: Rows[int], seconds: float, costs: IterationCosts) -> int:
    """How many of those with `remaining` steps, ascending, to end in one iteration of `seconds`: 0 if not even one can.

    Of the whole, the half, the quarter … each with all its equals, those with the lowest cost per real time step.
    """
    best, best_cost = 0, float("inf")
    rows, timesteps = len(remaining), list(accumulate(remaining))
    while rows:
        steps = remaining[rows - 1]
        ragged = remaining[0] < steps
        for count in dict.fromkeys((bisect_right(remaining, steps), rows)):
            cost = costs.seconds(count, steps, ragged) / timesteps[count - 1]
            if cost < best_cost and steps <= costs.steps_within(seconds, count, ragged):
                best, best_cost = count, cost
        rows //= 2
    return best


def rows_beside(leaders: int, steps: int, seconds: float, max_rows: int, costs: IterationCosts) -> int:
    """How many more rows fit beside `leaders` within `seconds`, at the same number of steps."""
    low, high = leaders, max(max_rows, leaders)
    while low < high:
        middle = (low + high + 1) // 2
        if costs.seconds(middle, steps) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low - leaders
