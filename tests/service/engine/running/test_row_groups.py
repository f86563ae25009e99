"""Rows are split between two calls where that saves more padding than a call costs, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.running.row_groups import rows_of_first_call


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([40], 0),
        ([40] * 64, 0),
        ([30] * 32 + [31] * 32, 0),  # not worth a call
        ([10] * 32 + [100] * 32, 32),
        ([10] * 63 + [100], 63),
        ([5] * 20 + [50] * 20 + [60] * 20, 20),
        ([1] * 4 + [60], 0),  # too little to save
        ([1] + [500] * 8, 1),
    ],
)
def test_the_cut(lengths: list[int], expected: int) -> None:
    assert rows_of_first_call(lengths) == expected


@given(st.lists(st.integers(1, 500), min_size=1, max_size=64))
def test_a_cut_saves_padding_and_leaves_rows_on_both_sides(lengths: list[int]) -> None:
    """In any order."""
    rows = rows_of_first_call(lengths)
    if rows:
        first, others = lengths[:rows], lengths[rows:]
        assert others
        together = len(lengths) * max(lengths)
        assert together - len(first) * max(first) - len(others) * max(others) >= 256
