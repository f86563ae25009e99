"""Whether one sequence had better go through all passes at once, from the costs of each. Knows no clock and no scheduling."""

from __future__ import annotations

from cellserve.service.engine.costs.iteration_costs import IterationCosts

PassCosts = tuple[IterationCosts, ...]
"""Of each pass under one implementation; of a network that may go through all passes at once, the costs of that come last."""


def at_once(passes: tuple[int, ...], costs: PassCosts, seconds: float) -> bool:
    """Whether a call for all passes over a sequence should take at most `seconds`, no further than measurements reach.

    passes: its time steps in each. By calls of that kind, or by the steps of each pass and the dearest of their calls, since at
    once there is but one: either will do, so that going at once is tried before it has been measured, and again where it was
    measured too high. Such a call cannot be cut, so nobody is believed to be short by a fit alone. For the thread that observes.
    """
    *each, whole = costs
    if whole.trusted and sum(passes) <= whole.steps_within(seconds, 1):
        return True
    if not all(one.trusted and steps <= one.steps_within(seconds, 1) for one, steps in zip(each, passes)):
        return False
    calls = [one.seconds(1, 0) for one in each]
    return sum(one.seconds(1, steps) for one, steps in zip(each, passes)) - sum(calls) + max(calls) <= seconds
