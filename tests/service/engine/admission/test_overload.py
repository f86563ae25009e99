"""Random overloads: who is let in ends in time, nobody starves, and the machine is never idle for it, whatever it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.engine.admission.overloading import Arrival, Costs, Overloading, Result, poisson, saturated_steps_per_second

SECONDS = 6.0

costs = st.builds(
    Costs,
    row_step=st.floats(20e-6, 60e-6),
    step=st.floats(50e-6, 200e-6),
    row=st.floats(0.0, 5e-6),
    call=st.floats(50e-6, 500e-6),
)
lengths = st.sampled_from([(400,), (100,), (*[40] * 9, 400), (20, 60, 200), (*[10] * 30, 300)])
factors = st.sampled_from([2.0, 5.0])


def overloaded(
    true: Costs, steps: Sequence[int], factor: float, deadline: float | None, seed: int, returning: bool = False
) -> tuple[Result, float]:
    """What became of it, and its goodput as a part of the saturated rate (without factors in time)."""
    per_second = saturated_steps_per_second(Costs(true.row_step, true.step, true.row, true.call), steps)
    rate = factor * per_second / (sum(steps) / len(steps))
    result = Overloading(true, deadline, 0.0 if returning else float("inf"), seed).run(
        poisson(seed, min(rate, 2_000.0), SECONDS, steps)
    )
    return result, result.steps_in_time() / SECONDS / per_second


def own_seconds(true: Costs, steps: Sequence[int]) -> float:
    """What the longest takes beside 32 others."""
    return true.seconds(32, max(steps), 0.0)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(costs, lengths, factors, st.floats(2.5, 6.0), st.integers(0, 1000))
def test_who_is_let_in_ends_in_time_and_nobody_starves(
    true: Costs, steps: Sequence[int], factor: float, slack: float, seed: int
) -> None:
    """slack: the deadline, in times of what the longest takes beside others."""
    deadline = max(0.2, slack * own_seconds(true, steps))
    result, goodput = overloaded(true, steps, factor, deadline, seed)
    assert result.kept >= 0.85
    assert goodput >= 0.65
    parts = {length: result.in_time[length] / came for length, came in result.came.items() if came >= 100}
    if len(parts) > 1:
        assert min(parts.values()) > 0.05 * max(parts.values()), parts


def test_in_nearly_all_overloads_nearly_all_that_are_let_in_end_in_time() -> None:
    kept = []
    for seed, steps in enumerate([(400,), (*[40] * 9, 400), (100,), (20, 60, 200)]):
        for factor in (2.0, 10.0):
            result, _ = overloaded(Costs(), steps, factor, (1.0, 0.5, 1.0, 2.0)[seed], seed)
            kept.append(result.kept)
    assert sum(kept) / len(kept) >= 0.95, kept


@pytest.mark.parametrize("change", [0.5, 2.0])
@pytest.mark.parametrize("factor", [2.0, 10.0])
@pytest.mark.parametrize("steps", [(400,), (*[40] * 9, 400)])
def test_costs_that_are_off_by_a_factor_of_two_cost_little(change: float, factor: float, steps: Sequence[int]) -> None:
    """In the middle of it everything costs twice or half as much, and all that was learnt is wrong."""
    true = Costs(factor=lambda now_seconds: 1.0 if now_seconds < SECONDS / 2 else change)
    result, goodput = overloaded(true, steps, factor, 1.0, seed=1)
    possible = (1.0 + 1.0 / change) / 2
    assert goodput / possible >= 0.7
    assert result.kept >= 0.85


@settings(max_examples=3, deadline=None, derandomize=True)
@given(costs, lengths, st.integers(0, 1000))
def test_where_there_is_no_overload_nobody_is_refused(true: Costs, steps: Sequence[int], seed: int) -> None:
    per_second = saturated_steps_per_second(true, steps)
    arrivals = poisson(seed, min(0.7 * per_second / (sum(steps) / len(steps)), 5000.0), SECONDS, steps)
    result = Overloading(true, max(2.0, 8.0 * own_seconds(true, steps)), dice=seed).run(arrivals)
    assert not result.causes
    assert result.in_time == result.came


def test_a_burst_that_fits_is_served_whole() -> None:
    warm = poisson(0, 20.0, 2.0, [400])
    burst = [Arrival(3.0, 400) for _ in range(40)]  # half a second and more of work
    result = Overloading(Costs(), 2.0).run([*warm, *burst])
    assert not result.causes
    assert result.in_time == result.came


def test_without_deadlines_the_wait_is_bounded() -> None:
    per_second = saturated_steps_per_second(Costs(), [400]) / 400
    result = Overloading(Costs(), None).run(poisson(0, 10 * per_second, 12.0, [400]))
    assert set(result.causes) == {"wait"}
    assert result.most_waiting < 14 * per_second  # ten seconds of work, and what could not be known when it began
    assert result.in_time == result.let_in


def test_a_client_that_sends_little_is_served_beside_one_that_sends_much() -> None:
    per_second = saturated_steps_per_second(Costs(), [100]) / 100
    much = poisson(1, 10 * per_second, SECONDS, [100], "much")
    little = poisson(2, 0.1 * per_second, SECONDS, [100], "little")
    overload = Overloading(Costs(), 1.0)
    result = overload.run([*much, *little])
    assert result.by_client["little"] >= 0.9 * 100 * len(little)


@pytest.mark.parametrize(("factor", "most"), [(2.0, 0.8), (5.0, 0.6)])
def test_most_who_come_again_as_they_were_told_are_let_in(factor: float, most: float) -> None:
    result, goodput = overloaded(Costs(), (100,), factor, 1.0, seed=3, returning=True)
    assert result.returned > 100
    assert result.returned_let_in >= most * result.returned
    assert goodput >= 0.8


def test_those_who_come_again_are_let_in_after_a_storm_of_others_who_did_not() -> None:
    """Times that were booked for those others do not keep them waiting."""
    per_second = saturated_steps_per_second(Costs(), [400]) / 400
    storm, calm = poisson(1, 10 * per_second, 6.0, [400]), poisson(2, 0.4 * per_second, 6.0, [400])
    returning = poisson(3, 2 * per_second, 12.0, [400])
    arrivals = [*storm, *[_later(each, 7.0) for each in calm], *[_later(each, 14.0) for each in returning]]
    result = Overloading(Costs(), 1.0, returning_from_seconds=14.0, dice=3).run(arrivals)
    assert result.returned_let_in >= 0.9 * result.returned


def _later(arrival: Arrival, seconds: float) -> Arrival:
    return replace(arrival, at_seconds=arrival.at_seconds + seconds)
