"""When both clients try again, and how long they wait: on a clock that passes only in sleep."""

import dataclasses

import grpc
import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.client import RetryPolicy, ServiceUnavailable
from cellserve.service.errors import RETRY_TICKET_KEY
from tests.service.client.fake_sequences import Ask, Clock, FakeSequences, Refusal, sequence

UNAVAILABLE = Refusal(grpc.StatusCode.UNAVAILABLE, message="connection reset")
OVERLOADED = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "too many waiting steps", retry_after_seconds=0.75)


def test_waits_grow_and_the_answer_arrives(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]
    np.testing.assert_array_equal(ask("predict", "digits", sequence(1)), sequence(1) + 1)
    assert clock.slept == [0.05, 0.1, 0.2]


def test_the_servers_hint_is_the_least_wait(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [OVERLOADED]
    ask("predict", "digits", sequence(1))
    assert clock.slept == [0.75 + 0.05]


@pytest.mark.parametrize("refusal", [UNAVAILABLE, OVERLOADED, Refusal(grpc.StatusCode.UNAVAILABLE, "DRAINING")])
def test_attempts_go_on_until_the_deadline(ask: Ask, fake: FakeSequences, clock: Clock, refusal: Refusal) -> None:
    fake.script = [refusal] * 20
    ask("predict", "digits", sequence(1), timeout_seconds=3600.0)
    assert len(fake.requests) == 21
    assert clock.slept[-1] == 2.0 + (refusal.retry_after_seconds or 0.0)


def test_attempts_may_be_counted_and_then_the_last_refusal_is_told(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [UNAVAILABLE] * 4 + [OVERLOADED]
    with pytest.raises(errors.Overloaded, match=r"^too many waiting steps$") as caught:
        ask("predict", "digits", sequence(1), client={"retry": RetryPolicy(attempts=5)})
    assert caught.value.retry_after_seconds == 0.75
    assert len(fake.requests) == 5


def test_a_hint_beyond_the_deadline_is_final_at_once(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [OVERLOADED]
    with pytest.raises(errors.Overloaded):
        ask("predict", "digits", sequence(1), timeout_seconds=0.75)
    assert clock.slept == []


def test_the_dice_do_not_take_the_time_that_the_hint_leaves(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_seconds=8.0)]
    never_early = RetryPolicy(first_wait_seconds=5.0, longest_wait_seconds=5.0, dice=lambda: 1.0)
    ask("predict", "digits", sequence(1), timeout_seconds=9.0, client={"retry": never_early})
    assert clock.slept == [8.5]


def test_waits_stay_finite_however_often_it_is_tried() -> None:
    assert RetryPolicy(dice=lambda: 1.0).wait_seconds(100_000, errors.Overloaded("full")) == 2.0


def test_a_ticket_goes_back_with_the_next_attempt_and_no_further(ask: Ask, fake: FakeSequences) -> None:
    with_ticket = dataclasses.replace(OVERLOADED, ticket="place-17")
    fake.script = [UNAVAILABLE, with_ticket, UNAVAILABLE, OVERLOADED]
    ask("predict", "digits", sequence(1))
    shown = [metadata.get(RETRY_TICKET_KEY) for metadata in fake.metadata]
    assert shown == [None, None, "place-17", "place-17", None]  # who never reached the server keeps it


def test_a_newer_ticket_replaces_the_older(ask: Ask, fake: FakeSequences) -> None:
    fake.script = [dataclasses.replace(OVERLOADED, ticket=ticket) for ticket in ("a", "b")]
    ask("predict", "digits", sequence(1), client={"token": "t0k3n"})
    assert [metadata.get(RETRY_TICKET_KEY) for metadata in fake.metadata] == [None, "a", "b"]
    assert {metadata["authorization"] for metadata in fake.metadata} == {"Bearer t0k3n"}


@pytest.mark.parametrize("reason", ["DRAINING", "VERSION_UNAVAILABLE"])
def test_what_passes_is_retried(ask: Ask, fake: FakeSequences, reason: str) -> None:
    fake.script = [Refusal(grpc.StatusCode.UNAVAILABLE, reason)]
    ask("predict", "digits", sequence(1))
    assert len(fake.requests) == 2


def test_a_version_that_cannot_be_loaded_is_not_asked_again(ask: Ask, fake: FakeSequences) -> None:
    fake.script = [Refusal(grpc.StatusCode.FAILED_PRECONDITION, "VERSION_FAILED")]
    with pytest.raises(errors.VersionFailed):
        ask("predict", "digits", sequence(1))
    assert len(fake.requests) == 1


def test_a_wait_beyond_the_deadline_is_not_begun(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [UNAVAILABLE, UNAVAILABLE, OVERLOADED]
    with pytest.raises(errors.Overloaded):
        ask("predict", "digits", sequence(1), timeout_seconds=0.8)
    assert clock.slept == [0.05, 0.1]


def test_each_attempt_is_given_the_time_left(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after_seconds=1000.0)]
    ask("predict", "digits", sequence(1), timeout_seconds=3000.0)
    first, second = fake.deadlines_seconds
    assert second < first - 900
    assert first <= 3100  # gRPC rounds long timeouts up


def test_a_call_without_time_is_not_sent(ask: Ask, fake: FakeSequences) -> None:
    with pytest.raises(errors.DeadlineExpired):
        ask("predict", "digits", sequence(1), timeout_seconds=0.0)
    assert fake.requests == []


def test_no_retry_when_told_so(ask: Ask, fake: FakeSequences) -> None:
    fake.script = [UNAVAILABLE]
    with pytest.raises(ServiceUnavailable, match="connection reset"):
        ask("predict", "digits", sequence(1), client={"retry": RetryPolicy(attempts=1)})
    assert len(fake.requests) == 1
