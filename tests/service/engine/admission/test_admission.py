"""Who is refused at the door, and what they are told."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.admission import Admission, check_deadline
from cellserve.service.engine.admission.appointments import Appointments
from cellserve.service.engine.admission.backlog import Backlog
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.engine.estimate import Estimate
from cellserve.service.errors import DeadlineExpired, Overloaded

STEP_SECONDS = 0.001
NOW = 50.0


class House:
    """A worker whose every step takes a millisecond, one row at a time, where sequences of 100 steps have been computed."""

    def __init__(self, waiting_seconds: float = 10.0, most_steps: int = 1_000_000) -> None:
        self.admission = Admission(waiting_seconds, most_steps, Appointments(), dice=lambda: 0.0)
        self.backlog = self.measured()

    @staticmethod
    def measured() -> Backlog:
        backlog = Backlog(most_rows=1)
        for _ in range(20):
            backlog.submit(100)
            backlog.computed(100, 100, 100 * STEP_SECONDS)
            backlog.end(100, 0)
        return backlog

    def ask(
        self,
        steps: int,
        seconds: float | None = None,
        asker: Asker = ANYBODY,
        others: tuple[Backlog, ...] = (),
        unasked: bool = False,
    ) -> Estimate:
        deadline = None if seconds is None else NOW + seconds
        return self.admission.admit(steps, deadline, asker, NOW, self.backlog, (self.backlog, *others), unasked=unasked)


def test_the_wait_counts_and_not_the_own_time_alone() -> None:
    house = House()
    for _ in range(4):
        house.ask(100, 0.5)
    assert house.ask(100, 0.51).predicted_seconds == pytest.approx(0.5)
    with pytest.raises(Overloaded, match=r"0\.5 s of work are ahead of this sequence, and its deadline leaves 0\.5 s") as refused:
        house.ask(100, 0.5)
    assert refused.value.metadata == {"cause": "deadline"}
    assert refused.value.retry_after_seconds == pytest.approx(0.1, abs=0.01)  # by then it would be done in time
    assert refused.value.ticket


def test_the_way_to_the_client_must_fit_as_well() -> None:
    house = House()
    for _ in range(4):
        house.ask(100, 0.5)
    with pytest.raises(Overloaded, match=r"its deadline leaves 0\.45 s"):
        house.ask(100, 0.55, asker=Asker(way_seconds=0.1))
    assert house.ask(100, 0.61, asker=Asker(way_seconds=0.1)).predicted_seconds == pytest.approx(0.5)


def test_who_finds_nobody_is_let_in_whatever_is_predicted() -> None:
    house = House(waiting_seconds=0.1)
    house.ask(5000, 0.2)
    with pytest.raises(Overloaded):
        house.ask(5000, 0.2)


def test_without_a_deadline_the_wait_is_bounded() -> None:
    house = House(waiting_seconds=0.25)
    for _ in range(3):
        house.ask(100)
    with pytest.raises(Overloaded, match=r"0\.3 s of work are ahead .* more than the 0\.25 s that may wait") as refused:
        house.ask(100)
    assert refused.value.metadata == {"cause": "wait"}
    house.ask(100, unasked=True)  # a further row of a request that was let in


def test_steps_are_bounded_whatever_they_take() -> None:
    house = House(most_steps=250)
    house.ask(200)
    with pytest.raises(Overloaded, match="200 time steps are waiting and 100 more would exceed the limit of 250") as refused:
        house.ask(100)
    assert refused.value.metadata == {"cause": "steps"}
    assert refused.value.retry_after_seconds == pytest.approx(0.05, abs=0.01)
    with pytest.raises(Overloaded):
        house.ask(100, asker=Asker(live=True))  # they take memory too
    with pytest.raises(Overloaded):
        house.ask(100, unasked=True)


def test_a_live_sequence_is_not_refused_because_of_others() -> None:
    house = House(waiting_seconds=0.1)
    house.ask(1000)
    house.ask(100, 0.2, Asker(live=True))


def test_other_lanes_take_as_much_time_as_this_one() -> None:
    house, other = House(), House.measured()
    for _ in range(100):
        other.submit(100)
    house.ask(100)
    assert house.ask(100, others=(other,)).predicted_seconds == pytest.approx(0.4)  # twice its own 0.2, not the other's 10


def test_whoever_sends_little_is_hardly_delayed_by_whoever_sends_much() -> None:
    house = House()
    for _ in range(50):
        house.ask(100, asker=Asker("much"))
    with pytest.raises(Overloaded):
        house.ask(100, 1.0, Asker("much"))
    little = house.ask(100, 1.0, Asker("little"))
    assert little.predicted_seconds == pytest.approx(0.2)
    assert little.turn_seconds == NOW
    assert house.ask(100, asker=Asker("much")).turn_seconds > NOW + 5.0


def test_a_ticket_goes_ahead_of_newcomers() -> None:
    house = House()
    for _ in range(10):
        house.ask(100)
    house.admission = Admission(10.0, 1_000_000, Appointments(), dice=lambda: 0.0)
    with pytest.raises(Overloaded) as refused:
        house.ask(100, 1.05)
    ticket = refused.value.ticket
    assert ticket
    assert refused.value.retry_after_seconds == pytest.approx(0.05, abs=0.01)
    with pytest.raises(Overloaded):
        house.ask(100, 1.05, Asker(ticket="made-up"))


def test_of_a_call_that_was_not_read_something_is_said_too() -> None:
    error = House().admission.turn_away(NOW, "not looked at")
    assert error.metadata == {"cause": "loop"}
    assert error.retry_after_seconds
    assert str(error) == f"not looked at; try again in {error.retry_after_seconds:g} s"
    assert error.ticket


def test_deadlines() -> None:
    check_deadline(None, 100.0, 1e9)
    check_deadline(101.0, 100.0, 0.9)
    with pytest.raises(DeadlineExpired, match=r"passed 0\.5 s before"):
        check_deadline(99.5, 100.0, 0.0)
    with pytest.raises(DeadlineExpired, match=r"leaves 1 s.*at least 1\.1 s"):
        check_deadline(101.0, 100.0, 1.1)
