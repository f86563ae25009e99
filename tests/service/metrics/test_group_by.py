"""Grouping keeps orders."""

from __future__ import annotations

from cellserve.service.metrics.group_by import group_by


def test_groups_come_in_the_order_of_their_first_and_hold_theirs_in_the_order_given() -> None:
    words = ["beta", "alpha", "be", "at", "also"]
    groups = group_by(words, lambda word: word[0])
    assert list(groups.items()) == [("b", ["beta", "be"]), ("a", ["alpha", "at", "also"])]


def test_a_key_that_was_not_met_has_no_group() -> None:
    groups = group_by([1, 2], lambda number: number)
    assert groups.get(3) is None
    assert 3 not in groups
