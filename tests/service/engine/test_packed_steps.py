"""Rows one after the other: the values they had, and no copy of a single one that can be read as it is."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.service.engine.packed_steps import joined

FLOAT, IDS = np.dtype(np.float32), np.dtype(np.int64)
ROWS = [np.arange(2 * steps, dtype=np.float32).reshape(steps, 2) + steps for steps in (3, 1, 4)]


def test_rows_lie_one_after_the_other() -> None:
    np.testing.assert_array_equal(joined(ROWS, FLOAT), np.concatenate(ROWS))
    ids = [np.array([4, 5]), np.array([6])]
    np.testing.assert_array_equal(joined(ids, IDS), [4, 5, 6])


def test_a_single_row_is_not_copied() -> None:
    assert joined(ROWS[:1], FLOAT) is ROWS[0]


@pytest.mark.parametrize(
    "row",
    [
        ROWS[2][::2],
        ROWS[2].astype(np.float64),
        np.asfortranarray(ROWS[2]),
        np.frombuffer(b"\0" + ROWS[2].tobytes(), np.uint8)[1:].view(np.float32).reshape(4, 2),
    ],
    ids=["strided", "doubles", "by columns", "not aligned"],
)
def test_rows_that_cannot_be_read_byte_by_byte_are_copied(row: np.ndarray) -> None:
    for rows in ([row], [row, ROWS[0]]):
        found = joined(rows, FLOAT)
        np.testing.assert_array_equal(found, np.concatenate(rows))
        assert found.dtype == FLOAT
        assert found.flags.c_contiguous
        assert found.flags.aligned
