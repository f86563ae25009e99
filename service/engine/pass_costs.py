"""What it costs to take one sequence through all passes, from the costs of each. Knows no clock and no scheduling."""

from __future__ import annotations

from cellserve.service.engine.iteration_costs import IterationCosts

PassCosts = tuple[IterationCosts, ...]
"""Of each pass under one implementation; of a network that may go through all passes at once, the costs of that come last."""


def seconds_alone(passes: tuple[int, ...], costs: PassCosts) -> float | None:
    """For a sequence with so many time steps in each pass, by itself, at the very least; None while nothing is known.

    All passes at once as measured, or the steps of each pass and the dearest of the calls: at once there is but one. The lesser
    of both, so that going at once is tried before it has been measured, and again where it was measured too high.
    """
    known: list[float] = []
    if all(one.trusted for one in costs[: len(passes)]):
        calls = [one.seconds(1, 0) for one in costs[: len(passes)]]
        known.append(sum(one.seconds(1, steps) for one, steps in zip(costs, passes)) - sum(calls) + max(calls))
    if len(costs) > len(passes) and costs[-1].trusted:
        known.append(costs[-1].seconds(1, sum(passes)))
    return min(known, default=None)
