"""When both clients try again, and how long they wait: on a clock that passes only in sleep."""

import grpc
import numpy as np
import pytest

from cellserve.service import errors
from cellserve.service.client import RetryPolicy, ServiceUnavailable
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


def test_attempts_end_and_the_last_refusal_is_told(ask: Ask, fake: FakeSequences, clock: Clock) -> None:
    fake.script = [UNAVAILABLE] * 4 + [OVERLOADED]
    with pytest.raises(errors.Overloaded, match=r"^too many waiting steps$") as caught:
        ask("predict", "digits", sequence(1))
    assert caught.value.retry_after_seconds == 0.75
    assert len(fake.requests) == 5


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
