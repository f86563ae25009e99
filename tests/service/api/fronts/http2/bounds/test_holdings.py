"""Who must go when clients make the server hold too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.fronts.http2.bounds.holdings import Holdings


def test_nobody_goes_while_all_is_within() -> None:
    assert not list(Holdings(100).beyond([(60, "a"), (40, "b")]))


def test_who_holds_most_goes_first_and_only_as_many_as_must() -> None:
    assert list(Holdings(100).beyond([(10, "a"), (70, "b"), (50, "c"), (40, "d")])) == [(70, "b")]
    assert list(Holdings(100).beyond([(90, "a"), (80, "b"), (70, "c")])) == [(90, "a"), (80, "b")]


@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(1, 2000))
def test_what_stays_is_within(held: list[int], most: int) -> None:
    gone = [number for _, number in Holdings(most).beyond((each, number) for number, each in enumerate(held))]
    stays = [each for number, each in enumerate(held) if number not in gone]
    assert sum(stays) <= most
    if gone:
        assert sum(stays) + held[gone[-1]] > most
        assert not stays or min(held[number] for number in gone) >= max(stays)


@given(st.lists(st.integers(0, 50), max_size=100))
def test_it_is_looked_at_each_time_a_sixteenth_has_moved(moved: list[int]) -> None:
    holdings = Holdings(1600)
    unseen = 0
    for each in moved:
        unseen += each
        due = holdings.due(each)
        assert due == (unseen >= 100)
        unseen = 0 if due else unseen
