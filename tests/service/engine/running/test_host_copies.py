"""Rows side by side and copies of them: the values they had, and no copy of a single row that can be read as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.running.host_copies import copied, side_by_side, write

FLOAT, IDS = np.dtype(np.float32), np.dtype(np.int64)
ROWS = [np.arange(2 * steps, dtype=np.float32).reshape(steps, 2) + steps for steps in (3, 1, 4)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.sampled_from([(), (1,), (3,)]), st.sampled_from([FLOAT, IDS]))
def test_rows_stand_side_by_side_with_zeros_beyond_their_ends(
    lengths: list[int], features: tuple[int, ...], dtype: np.dtype
) -> None:
    rows = [np.random.default_rng(i).integers(1, 99, (length, *features)).astype(dtype) for i, length in enumerate(lengths)]
    found = side_by_side(rows, dtype)
    assert (found.shape, found.dtype) == ((len(rows), max(lengths), *features), dtype)
    for row, beside in zip(rows, found):
        np.testing.assert_array_equal(beside[: len(row)], row)
        assert not beside[len(row) :].any()


def test_a_single_row_is_not_copied() -> None:
    assert np.shares_memory(side_by_side(ROWS[:1], FLOAT), ROWS[0])


@pytest.mark.parametrize(
    "row",
    [
        ROWS[2][::2],
        ROWS[2].astype(np.float64),
        np.asfortranarray(ROWS[2]),
        np.frombuffer(b"\0" + ROWS[2].tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 2),
        ROWS[2][::3][:1],
    ],
    ids=["strided", "doubles", "by columns", "not aligned", "one step, strided"],
)
def test_rows_may_lie_in_memory_in_any_way(row: np.ndarray) -> None:
    for rows in ([row], [row, ROWS[0]]):
        found = side_by_side(rows, FLOAT)
        np.testing.assert_array_equal(found[0, : len(row)], row)
        assert found.dtype == FLOAT
        assert found.flags.c_contiguous
        assert found.flags.aligned


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0,), (4, 0), (30, 40), (300, 400)])
def test_a_copy_has_the_same_numbers_in_memory_of_its_own(shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    made = copied(source)
    np.testing.assert_array_equal(made, source)
    assert not np.shares_memory(made, source)
    write(made, source + 1)
    np.testing.assert_array_equal(made, source + 1)


def test_a_part_is_written_and_nothing_beside_it() -> None:
    target = np.zeros((4, 2), np.float32)
    write(target[1:3], ROWS[0][:2])
    np.testing.assert_array_equal(target, [[0, 0], *ROWS[0][:2], [0, 0]])
