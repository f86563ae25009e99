"""Who waits, and how many are ahead of whom, against a plain list."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.line import Line
from cellserve.service.engine.sequence import Sequence, Work


def sequence(identity: int, priority: int) -> Sequence:
    return Sequence(identity, Work(VersionKey("m", 1), (np.zeros((1, 1), np.float32),), priority=priority), "2", 0.0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(-2, 2)), st.tuples(st.sampled_from(["pop", "discard"]), st.integers(0, 20))
        )
    )
)
def test_it_is_a_list_in_order(moves: list[tuple[str, int]]) -> None:
    line, plain = Line(), list[Sequence]()
    for place, (move, number) in enumerate(moves):
        if move == "add":
            plain.append(sequence(place, number))
            line.add(plain[-1])
        elif move == "pop" and plain:
            first = min(plain, key=lambda member: (member.order, member.id))
            plain.remove(first)
            assert line.pop() is first
        elif move == "discard":
            gone = plain.pop(number % len(plain)) if plain else sequence(10_000, 0)
            line.discard(gone)
            line.discard(gone)
        assert len(line) == len(plain)
        assert [line.ahead(order) for order in range(-3, 4)] == [
            sum(one.order <= order for one in plain) for order in range(-3, 4)
        ]
