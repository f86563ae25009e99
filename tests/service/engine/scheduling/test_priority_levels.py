"""PriorityLevels: who is most urgent, and how far the urgent reach."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.scheduling.priority_levels import PriorityLevels
from cellserve.service.engine.sequence import Sequence, Work


def sequence(identity: int, steps: int, priority: int = 0) -> Sequence:
    return Sequence(identity, Work(VersionKey("m", 1), (np.zeros((steps, 1), np.float32),), priority=priority), "2", 0.0)


def whoever(identity: int, remaining: int) -> Sequence:
    """One that needs no inputs."""
    made = sequence(identity, 1)
    made.remaining = remaining
    return made


def levels(*members: Sequence) -> PriorityLevels:
    made = PriorityLevels()
    made.file(members)
    return made


def ids(target: PriorityLevels) -> list[int]:
    return [member.id for member in target.foremost()]


def test_the_shortest_are_first_and_those_alike_in_their_order() -> None:
    assert ids(levels(sequence(0, 100), sequence(1, 9), sequence(2, 15), sequence(3, 8))) == [1, 3, 2, 0]


@given(st.lists(st.integers(1, 1 << 40), max_size=60))
def test_nobody_comes_before_whoever_has_clearly_less_left(lengths: list[int]) -> None:
    target, longest = levels(*[whoever(i, steps) for i, steps in enumerate(lengths)]), 0
    for member in target.foremost():
        longest = max(longest, member.remaining)
        assert longest <= 1.25 * member.remaining


def test_priority_goes_before_length_and_is_not_mixed() -> None:
    low, high, higher = sequence(0, 1, priority=-1), sequence(1, 100, priority=1), sequence(2, 10, priority=1)
    target = levels(low, high, higher)
    assert ids(target) == [2, 1]
    target.discard(high)
    target.discard(higher)
    assert ids(target) == [0]


def test_filed_anew_it_stands_last_where_it_belongs_now() -> None:
    moving = sequence(0, 100)
    target = levels(moving, sequence(1, 5))
    moving.advance(95)
    target.file([moving])
    assert ids(target) == [1, 0]


def test_empty() -> None:
    assert ids(levels()) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 40)), max_size=60))
def test_everybody_filed_and_not_discarded_is_there_once(operations: list[tuple[bool, int, int]]) -> None:
    target, members = PriorityLevels(), {i: sequence(i, 40) for i in range(10)}
    here: set[int] = set()
    for file, identity, remaining in operations:
        if file:
            members[identity].remaining = remaining
            target.file([members[identity]])
            here.add(identity)
        else:
            target.discard(members[identity])
            here.discard(identity)
        assert sorted(ids(target)) == sorted(here)
