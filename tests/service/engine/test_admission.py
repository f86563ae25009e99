"""Who is refused at the door, and what they are told."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission import check_deadline, check_room
from cellserve.service.errors import DeadlineExpired, Overloaded


@pytest.mark.parametrize(
    ("steps", "outstanding", "limit"),
    [(10, 0, 10), (10, 90, 100), (1000, 0, 100)],  # the last: larger than the limit, but nothing else is there
)
def test_let_in(steps: int, outstanding: int, limit: int) -> None:
    check_room(steps, outstanding, limit, None)


def test_a_full_house_says_when_there_will_be_room() -> None:
    with pytest.raises(Overloaded, match="95 time steps are waiting and 10 more would exceed the limit of 100") as refused:
        check_room(10, 95, 100, 0.5)
    assert refused.value.retry_after_seconds == 2.5  # 5 steps too many, half a second each


def test_the_hint_never_exceeds_the_time_to_an_empty_house() -> None:
    with pytest.raises(Overloaded) as refused:
        check_room(1000, 10, 100, 0.5)
    assert refused.value.retry_after_seconds == 5.0


def test_without_measurements_there_is_a_hint_all_the_same() -> None:
    with pytest.raises(Overloaded) as refused:
        check_room(10, 95, 100, None)
    assert refused.value.retry_after_seconds == 0.1


def test_deadlines() -> None:
    check_deadline(None, 100.0, 1e9)
    check_deadline(101.0, 100.0, 0.9)
    with pytest.raises(DeadlineExpired, match=r"passed 0\.5 s before"):
        check_deadline(99.5, 100.0, 0.0)
    with pytest.raises(DeadlineExpired, match=r"leaves 1 s.*at least 1\.1 s"):
        check_deadline(101.0, 100.0, 1.1)
