"""Levels: who is most urgent, and how far the urgent reach."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.levels import Levels
from cellserve.service.engine.sequence import Sequence, Work


def sequence(identity: int, steps: int, priority: int = 0) -> Sequence:
    return Sequence(identity, Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority), "2", 0.0)


def levels(*members: Sequence) -> Levels:
    made = Levels()
    for member in members:
        made.file(member)
    return made


def test_the_shortest_are_first_and_equals_in_their_order() -> None:
    target = levels(sequence(0, 100), sequence(1, 9), sequence(2, 15), sequence(3, 8))
    assert [member.id for member in target.first()] == [1, 2, 3]
    assert [member.id for member in target.up_to(1000)] == [1, 2, 3, 0]
    assert [member.id for member in target.up_to(63)] == [1, 2, 3]
    assert list(target.up_to(7)) == []


def test_priority_goes_before_length_and_is_not_mixed() -> None:
    target = levels(sequence(0, 1), sequence(1, 100, priority=1), sequence(2, 10, priority=1))
    assert [member.id for member in target.first()] == [2]
    assert [member.id for member in target.up_to(1000)] == [2, 1]


def test_filed_anew_it_stands_last_where_it_belongs_now() -> None:
    moving = sequence(0, 100)
    target = levels(moving, sequence(1, 5))
    moving.position = 95
    target.file(moving)
    assert [member.id for member in target.first()] == [1, 0]


def test_empty() -> None:
    assert list(levels().first()) == list(levels().up_to(5)) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 40)), max_size=60))
def test_everybody_filed_and_not_discarded_is_there_once(operations: list[tuple[bool, int, int]]) -> None:
    target, members = Levels(), {i: sequence(i, 40) for i in range(10)}
    here: set[int] = set()
    for file, identity, remaining in operations:
        if file:
            members[identity].position = 40 - remaining
            target.file(members[identity])
            here.add(identity)
        else:
            target.discard(members[identity])
            here.discard(identity)
        listed = list(target.up_to(1000))
        assert sorted(member.id for member in listed) == sorted(here)
        assert [m.remaining.bit_length() for m in listed] == sorted(m.remaining.bit_length() for m in listed)
