"""Pings of clients: measurements while data flow, a storm when nothing does."""

from __future__ import annotations

from cellserve.service.api.fronts.http2.bounds.ping_limit import PingLimit


def test_pings_at_the_allowed_rate_are_never_too_many() -> None:
    limit = PingLimit(10.0)
    assert not any(limit.exceeded_by(1000.0 + 10.0 * number) for number in range(100))


def test_two_early_pings_are_let_pass_and_the_third_is_one_too_many() -> None:
    limit = PingLimit(10.0)
    assert [limit.exceeded_by(1000.0 + number) for number in range(4)] == [False, False, False, True]


def test_strikes_are_not_forgotten_while_nothing_is_answered() -> None:
    limit = PingLimit(10.0)
    seconds = (0.0, 1.0, 11.0, 12.0, 22.0, 23.0)
    assert [limit.exceeded_by(each) for each in seconds] == [False, False, False, False, False, True]


def test_pings_between_answers_never_strike() -> None:
    limit = PingLimit(10.0)
    for number in range(1000):
        assert not limit.exceeded_by(0.001 * number)
        assert not limit.exceeded_by(0.001 * number)
        limit.answered()
