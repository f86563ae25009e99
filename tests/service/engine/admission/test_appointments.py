"""When whoever was refused is told to come, and what its ticket is good for."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.appointments import Appointments


def test_nobody_is_told_to_come_before_there_is_room() -> None:
    assert Appointments().book(10.0, 0.5, 0.1, dice=0.0).retry_after_seconds == pytest.approx(0.5)


def test_not_all_come_together() -> None:
    appointments = Appointments()
    waits = {appointments.book(10.0, 0.5, 0.0, dice=place / 10).retry_after_seconds for place in range(10)}
    assert len(waits) == 10
    assert all(0.5 <= wait < 0.7 for wait in waits)


def test_where_all_come_back_their_times_follow_one_another() -> None:
    appointments = all_returning()
    waits = [appointments.book(1000.0, 0.1, 0.07, dice=0.0).retry_after_seconds for _ in range(50)]
    assert waits[0] == pytest.approx(0.1)
    assert waits[-1] == pytest.approx(0.1 + 49 * 0.1, rel=0.1)  # 0.07 s of work each, at seven tenths of the pace


def test_where_nobody_comes_back_nothing_is_kept_free() -> None:
    appointments = Appointments()
    for second in range(100):
        for _ in range(10):
            appointments.book(float(second), 0.1, 0.1, dice=0.0)
    assert appointments.returning < 0.001
    assert appointments.due_work_seconds(100.0, 5.0) < 0.01


def test_what_is_due_is_kept_free_for_those_who_come_back() -> None:
    appointments = all_returning()
    for _ in range(10):
        appointments.book(1000.0, 0.1, 0.08, dice=0.0)
    assert appointments.due_work_seconds(1000.0, 0.05) == pytest.approx(0.0, abs=0.1)
    assert appointments.due_work_seconds(1000.0, 60.0) == pytest.approx(0.8, rel=0.1)


def test_a_ticket_is_good_once_and_about_its_time() -> None:
    appointments = Appointments()
    wait, ticket = appointments.book(10.0, 1.0, 0.1, dice=0.0)
    assert not appointments.redeem(ticket, 10.5)
    assert appointments.redeem(ticket, 10.0 + wait)
    assert not appointments.redeem(ticket, 10.0 + wait)
    _, late = appointments.book(20.0, 1.0, 0.1, dice=0.0)
    assert not appointments.redeem(late, 30.0)


def test_a_ticket_that_is_looked_at_stays_good() -> None:
    appointments = Appointments()
    wait, ticket = appointments.book(10.0, 1.0, 0.1, dice=0.0)
    assert not appointments.expects(ticket, 10.5)
    assert appointments.expects(ticket, 10.0 + wait)
    assert appointments.redeem(ticket, 10.0 + wait)
    assert not appointments.expects(ticket, 10.0 + wait)


def test_that_all_come_is_learnt_before_their_tickets_are_old() -> None:
    appointments = Appointments()
    for tenth in range(20):
        booked = [appointments.book(tenth / 10, 0.1, 0.001, dice=0.0) for _ in range(10)]
        for wait, ticket in booked:
            assert appointments.redeem(ticket, tenth / 10 + wait)
    assert appointments.returning > 0.9


@pytest.mark.parametrize("ticket", ["", "-", "1-2-3-4", "zz-zz-zz-zz-zz", "é", "1" * 500])
def test_what_is_no_ticket_of_ours_is_none(ticket: str) -> None:
    assert not Appointments().redeem(ticket, 10.0)


def test_a_ticket_of_another_server_is_none() -> None:
    _, ticket = Appointments().book(10.0, 1.0, 0.1, dice=0.0)
    assert not Appointments().redeem(ticket, 11.0)


def all_returning() -> Appointments:
    """Where everybody who was told to come has come, until shortly before second 1000."""
    appointments = Appointments()
    for second in range(100):
        booked = [appointments.book(float(second), 0.1, 0.001, dice=0.0) for _ in range(10)]
        for wait, ticket in booked:
            assert appointments.redeem(ticket, second + wait)
    appointments.due_work_seconds(999.0, 0.0)
    assert appointments.returning > 0.99
    return appointments
