"""Rows are given once, found by their own handle alone, and given back once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.sessions.storage.slab import SlabRow, StaleRow, StateSlab


def _state(value: float) -> np.ndarray:
    return np.full(2, value, np.float32)


def test_a_handle_that_was_freed_reaches_nothing() -> None:
    slab = StateSlab(2)
    old = slab.put(_state(1))
    slab.free(old)
    new = slab.put(_state(2))
    assert new.number == old.number
    for use in (slab.read, slab.free, lambda row: slab.write(row, _state(9))):
        with pytest.raises(StaleRow):
            use(old)
    assert slab.read(new).tolist() == [2, 2]


def test_a_write_makes_the_handle_before_it_old() -> None:
    slab = StateSlab(2)
    before = slab.put(_state(1))
    after = slab.write(before, _state(2))
    with pytest.raises(StaleRow):
        slab.read(before)
    assert slab.read(after).tolist() == [2, 2]


def test_what_is_read_is_a_copy() -> None:
    slab = StateSlab(2)
    given_state = _state(1)
    row = slab.put(given_state)
    given_state[:] = 7
    slab.read(row)[:] = 9
    assert slab.read(row).tolist() == [1, 1]


@pytest.mark.parametrize("row", [SlabRow(0, 0), SlabRow(5, 1), SlabRow(-1, 1), SlabRow(10**9, 1)])
def test_a_handle_that_nobody_gave_reaches_nothing(row: SlabRow) -> None:
    slab = StateSlab(2, block_rows=4)
    slab.put(_state(1))
    with pytest.raises(StaleRow):
        slab.read(row)


@given(st.lists(st.tuples(st.sampled_from(["put", "free", "write"]), st.integers(0, 1_000_000)), max_size=200))
def test_rows_are_conserved_and_nobody_sees_anothers(operations: list[tuple[str, int]]) -> None:
    slab = StateSlab(2, block_rows=4)
    held: list[tuple[SlabRow, float]] = []
    for value, (operation, choice) in enumerate(operations):
        if operation == "put":
            held.append((slab.put(_state(value)), value))
        elif held:
            row, _ = held.pop(choice % len(held))
            if operation == "free":
                slab.free(row)
            else:
                held.append((slab.write(row, _state(value)), value))
    assert slab.used == len(held)
    assert slab.bytes == len(held) * 8
    for row, expected in held:
        assert slab.read(row).tolist() == [expected, expected]


def test_blocks_that_are_empty_are_given_back() -> None:
    slab = StateSlab(2, block_rows=4)
    rows = [slab.put(_state(number)) for number in range(40)]
    for row in rows:
        slab.free(row)
    assert sum(block is not None for block in slab._blocks) == 1
    again = [slab.put(_state(number)) for number in range(40)]
    assert len(slab._blocks) == 10
    assert [slab.read(row)[0] for row in again] == list(range(40))
