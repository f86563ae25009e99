"""So many at once, and so many more with each second."""

from __future__ import annotations

from cellserve.service.api.fronts.http2.bounds.rate_limit import RateLimit


def test_so_many_at_once() -> None:
    limit = RateLimit(3, 1, 1000.0)
    assert [limit.exceeded_by(1000.0) for _ in range(4)] == [False, False, False, True]


def test_and_so_many_more_with_each_second_for_ever() -> None:
    limit = RateLimit(3, 2, 1000.0)
    assert not any(limit.exceeded_by(1000.0 + 0.5 * number) for number in range(1000))


def test_no_more_is_saved_than_may_come_at_once() -> None:
    limit = RateLimit(3, 1, 1000.0)
    assert [limit.exceeded_by(5000.0) for _ in range(4)] == [False, False, False, True]
