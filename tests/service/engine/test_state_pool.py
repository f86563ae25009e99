"""StatePool: rows are conserved, and a handle that was given back is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.state_pool import RowHandle, StaleRow, StatePool


def test_what_is_put_is_taken_in_the_order_asked() -> None:
    pool = StatePool(width=2, rows=3)
    handles = [pool.acquire() for _ in range(3)]
    pool.put(handles, torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert pool.take(handles[::-1]).tolist() == [[5, 6], [3, 4], [1, 2]]


def test_take_is_a_copy() -> None:
    pool = StatePool(width=1, rows=1)
    handle = pool.acquire()
    pool.take([handle]).fill_(9)
    assert pool.take([handle]).tolist() == [[0]]


def test_a_full_pool_says_so() -> None:
    pool = StatePool(width=1, rows=1)
    pool.acquire()
    with pytest.raises(IndexError):
        pool.acquire()


def test_a_released_handle_cannot_touch_the_next_owner() -> None:
    pool = StatePool(width=1, rows=1)
    old = pool.acquire()
    pool.release(old)
    new = pool.acquire()
    assert new.row == old.row
    with pytest.raises(StaleRow, match="generation 1, not 0"):
        pool.put([old], torch.ones(1, 1))
    with pytest.raises(StaleRow):
        pool.take([new, old])
    with pytest.raises(StaleRow):
        pool.release(old)
    assert pool.take([new]).tolist() == [[0]]
    assert (pool.free, pool.used) == (0, 1)


@given(st.lists(st.integers(0, 3), max_size=80))
def test_rows_are_conserved(choices: list[int]) -> None:
    pool = StatePool(width=1, rows=4)
    held: list[RowHandle] = []
    for choice in choices:
        if choice == 0 and pool.free:
            held.append(pool.acquire())
        elif held:
            pool.release(held.pop(choice % len(held)))
        assert pool.free + pool.used == pool.rows == 4
        assert pool.used == len(held) == len({handle.row for handle in held})


def test_its_bytes_are_those_of_its_rows() -> None:
    pool = StatePool(width=3, rows=5)
    row = pool.memory_of(pool.acquire())
    assert pool.bytes == 5 * len(row) == 5 * 3 * torch.float32.itemsize
