"""OrderedQueue against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.scheduling.ordered_queue import OrderedQueue


@given(st.lists(st.tuples(st.sampled_from(["add", "discard"]), st.integers(0, 9), st.integers(0, 4)), max_size=60))
def test_they_stand_in_the_order_of_turns_and_ids(operations: list[tuple[str, int, int]]) -> None:
    turns: OrderedQueue[str] = OrderedQueue()
    expected: dict[int, float] = {}
    for operation, identity, turn in operations:
        if operation == "add" and identity not in expected:
            turns.add(float(turn), identity, str(identity))
            expected[identity] = float(turn)
        elif operation == "discard":
            assert turns.discard(identity) == (expected.pop(identity, None) is not None)
        assert list(turns) == [str(i) for i in sorted(expected, key=lambda i: (expected[i], i))]
        assert len(turns) == len(expected)
        assert all((i in turns) == (i in expected) for i in range(10))
