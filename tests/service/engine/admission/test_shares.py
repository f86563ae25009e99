"""Whose turn comes when, where one client sends much and another little."""

from __future__ import annotations

import pytest

from cellserve.service.engine.admission.shares import Shares


def test_a_client_alone_waits_for_all_that_it_has_sent() -> None:
    shares = Shares()
    shares.turn_seconds("one", 1.0, 10.0)
    assert shares.part_ahead("one", 1.0) == 1.0


def test_ahead_of_a_client_is_as_much_of_others_as_of_its_own() -> None:
    shares = Shares()
    for _ in range(9):
        shares.turn_seconds("much", 1.0, 10.0)
    shares.turn_seconds("little", 1.0, 10.0)
    assert shares.part_ahead("little", 1.0) == pytest.approx((2.0 + 1.0) / 10.0)
    assert shares.part_ahead("new", 0.5) == pytest.approx((0.5 + 0.5) / 10.0)
    assert shares.part_ahead("much", 1.0) == pytest.approx(1.0)


def test_turns_are_those_of_an_even_split() -> None:
    shares = Shares()
    assert [shares.turn_seconds("much", 1.0, 10.0) for _ in range(3)] == [10.0, 11.0, 12.0]
    assert shares.turn_seconds("little", 1.0, 10.5) == 10.5
    assert shares.turn_seconds("little", 1.0, 10.5) == 12.5  # two clients: a second of work takes two


def test_what_is_over_or_withdrawn_is_forgotten() -> None:
    shares = Shares()
    shares.turn_seconds("much", 1.0, 10.0)
    shares.turn_seconds("much", 1.0, 10.0)
    shares.turn_seconds("little", 1.0, 10.0)
    shares.end("much", 1.0)
    shares.withdraw("much", 1.0)
    assert shares.part_ahead("little", 1.0) == 1.0
    assert shares.turn_seconds("much", 1.0, 10.5) == 10.5  # and owes nothing
