"""Open and closed loops against a fake client, on a clock that passes only in sleep."""

import itertools

import numpy as np
import pytest

from cellserve.service.errors import DeadlineExpired, Overloaded
from cellserve.service.loadgen.drivers import Asking, closed_loop, open_loop
from cellserve.service.loadgen.outcomes import Verdict
from cellserve.service.loadgen.samples import Sample
from tests.service.loadgen.fakes import FakeClient

ONES = Sample(np.ones((3, 2)), expected=np.array([3.0, 3.0]), version=1)
LONG = Sample(np.ones((9, 2)))


def asking(client: FakeClient) -> Asking:
    return Asking(client, "m", implementation="1", timeout_seconds=4.0, clock=client.clock, sleep=client.clock.sleep)


def no_progress(share: float) -> None:
    assert 0 <= share <= 1


async def test_an_open_loop_sends_when_due_whatever_the_answers_do() -> None:
    client = FakeClient(seconds=0.0)
    due = np.array([0.5, 1.5, 1.5, 4.0])
    outcomes = await open_loop(asking(client), [ONES, LONG], itertools.cycle([0, 1]), due, no_progress)
    assert [outcome.due_seconds for outcome in outcomes] == pytest.approx((50.0 + due).tolist())
    assert [outcome.steps for outcome in outcomes] == [3, 9, 3, 9]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RIGHT, Verdict.UNCHECKED] * 2
    assert client.asked[0]["implementation"] == "1"
    assert client.asked[0]["timeout_seconds"] == 4.0


async def test_latency_counts_from_the_due_time_even_when_the_generator_was_held_up() -> None:
    client = FakeClient(seconds=2.0)  # the fake's clock stands in everybody's way: later requests leave late
    outcomes = await open_loop(asking(client), [ONES], itertools.repeat(0), np.array([0.0, 0.1, 0.2]), no_progress)
    last = outcomes[-1]
    assert last.send_lag_seconds > 0
    assert last.latency_seconds == pytest.approx(last.done_seconds - 50.2)
    assert last.latency_seconds == pytest.approx(last.send_lag_seconds + last.done_seconds - last.sent_seconds)


async def test_refusals_are_outcomes_by_their_reason() -> None:
    client = FakeClient(refusals={1: Overloaded("full"), 2: DeadlineExpired("late")}, offsets={3: 0.5})
    outcomes = await open_loop(asking(client), [ONES], itertools.repeat(0), np.zeros(4), no_progress)
    assert [outcome.error for outcome in outcomes] == [None, "OVERLOADED", "DEADLINE_EXPIRED", None]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RIGHT, Verdict.UNCHECKED, Verdict.UNCHECKED, Verdict.WRONG]
    assert outcomes[0].answered_by == "m/1 1"


async def test_a_closed_loop_keeps_as_many_under_way_as_there_are_callers() -> None:
    client = FakeClient(seconds=1.0)
    outcomes = await closed_loop(asking(client), [ONES], itertools.repeat(0), 3, no_progress, requests=10)
    assert len(outcomes) == len(client.asked) == 10
    assert client.most_under_way == 3
    assert all(outcome.send_lag_seconds == 0 for outcome in outcomes)


async def test_a_closed_loop_ends_with_its_time_and_answers_what_is_under_way() -> None:
    client = FakeClient(seconds=1.0)
    outcomes = await closed_loop(asking(client), [ONES], itertools.repeat(0), 1, no_progress, duration_seconds=4.5)
    assert len(outcomes) == 5
    assert client.under_way == 0


async def test_a_closed_loop_needs_an_end() -> None:
    with pytest.raises(ValueError, match="number of requests or after a time"):
        await closed_loop(asking(FakeClient()), [ONES], itertools.repeat(0), 1, no_progress)
