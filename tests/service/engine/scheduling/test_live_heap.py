"""LiveHeap: order, leaving from the middle, sweeping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.scheduling.live_heap import LiveHeap


def test_lowest_key_first_then_lowest_identity() -> None:
    heap: LiveHeap[str] = LiveHeap()
    for key, identity in ((2, 1), (1, 3), (1, 2), (0, 4)):
        heap.push(key, identity, f"{key}/{identity}")
    assert [heap.pop() for _ in range(4)] == ["0/4", "1/2", "1/3", "2/1"]
    assert heap.first() is None
    with pytest.raises(IndexError):
        heap.pop()


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["push", "pop", "discard"])), max_size=300))
def test_behaves_as_a_sorted_list(operations: list[tuple[int, str]]) -> None:
    heap: LiveHeap[int] = LiveHeap()
    expected: list[tuple[int, int]] = []
    for identity, (key, operation) in enumerate(operations):
        if operation == "push":
            heap.push(key, identity, identity)
            expected = sorted([*expected, (key, identity)])
        elif operation == "discard" and expected:
            heap.discard(expected.pop(key % len(expected))[1])
        elif operation == "pop" and expected:
            assert heap.pop() == expected.pop(0)[1]
        assert len(heap) == len(expected)
        first = heap.first()
        assert (first and first[:2]) == (expected[0] if expected else None)


def test_discarding_the_unknown_changes_nothing() -> None:
    heap: LiveHeap[str] = LiveHeap()
    heap.push(1, 1, "one")
    heap.discard(2)
    assert list(heap) == ["one"]


def test_those_who_left_are_swept() -> None:
    heap: LiveHeap[int] = LiveHeap()
    for identity in range(10_000):
        heap.push(identity, identity, identity)
    for identity in range(9_999):
        heap.discard(identity)
    assert len(heap._entries) < 200
    assert heap.pop() == 9_999
