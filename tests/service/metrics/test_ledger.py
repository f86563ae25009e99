"""Facts reach the books once, in order, from any thread, at the latest when somebody looks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from threading import Event, Thread

import pytest

from cellserve.service.metrics.ledger import Ledger, now


def test_facts_are_booked_together_once_so_many_have_gathered() -> None:
    booked: list[list[int]] = []
    ledger = Ledger[int](booked.append, 3, now)
    for fact in range(7):
        ledger.tell(fact)
    assert booked == [[0, 1, 2], [3, 4, 5]]


def test_whoever_looks_finds_everything_booked_and_nothing_being_booked() -> None:
    booked: list[list[int]] = []
    ledger = Ledger[int](booked.append, 2, now)
    ledger.tell(0)
    with ledger.settled():
        assert booked == [[0]]
        for fact in (1, 2, 3):
            ledger.tell(fact)  # does not wait for the end of this
        assert booked == [[0]]
    with ledger.settled():
        assert booked == [[0], [1, 2, 3]]
    with ledger.settled():
        assert booked == [[0], [1, 2, 3]]


def test_booking_waits_for_its_time() -> None:
    booked: list[list[int]] = []
    later: list[Callable[[], None]] = []
    ledger = Ledger[int](booked.append, 2, later.append)
    for fact in range(3):
        ledger.tell(fact)
    assert (len(later), booked) == (1, [])
    later.pop()()
    assert booked == [[0, 1, 2]]


def test_booking_at_a_time_when_somebody_looks_waits_for_more_facts() -> None:
    booked: list[list[int]] = []
    later: list[Callable[[], None]] = []
    ledger = Ledger[int](booked.append, 1, later.append)
    with ledger.settled():
        ledger.tell(0)
        later.pop()()
        assert booked == []
    ledger.tell(1)
    later.pop()()
    assert booked == [[0, 1]]


def test_a_fact_told_by_the_books_themselves_is_booked_next() -> None:
    booked: list[list[int]] = []

    def book(facts: list[int]) -> None:
        booked.append(facts)
        if len(booked) == 1:
            ledger.tell(1)

    ledger = Ledger[int](book, 1, now)
    ledger.tell(0)
    assert booked == [[0]]
    ledger.tell(10)
    assert booked == [[0], [1, 10]]


def test_a_failure_of_the_books_is_logged_and_costs_these_facts_only(caplog: pytest.LogCaptureFixture) -> None:
    booked: list[list[float]] = []
    ledger = Ledger[float](lambda facts: booked.append([1 / fact for fact in facts]), 2, now)
    with caplog.at_level(logging.ERROR):
        for fact in (4.0, 0.0, 2.0, 1.0):
            ledger.tell(fact)
    assert booked == [[0.5, 1.0]]
    assert "up to 2 facts are missing" in caplog.text
    assert "division by zero" in caplog.text


def test_no_fact_of_any_thread_is_lost_or_booked_twice_or_out_of_its_order() -> None:
    booked: list[tuple[int, int]] = []
    ledger = Ledger[tuple[int, int]](booked.extend, 7, now)
    told = Event()

    def tell(thread: int) -> None:
        for number in range(5000):
            ledger.tell((thread, number))

    def look() -> None:
        for _ in count():
            with ledger.settled():
                before = len(booked)
                assert len(booked) == before
            if told.is_set():
                return

    tellers = [Thread(target=tell, args=(thread,)) for thread in range(4)]
    reader = Thread(target=look)
    for thread in (*tellers, reader):
        thread.start()
    for thread in tellers:
        thread.join()
    told.set()
    reader.join()
    with ledger.settled():
        assert len(booked) == 20000
    for thread in range(4):
        assert [number for teller, number in booked if teller == thread] == list(range(5000))
