"""How a batch is cut into requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.client.requests import PartLimits, split


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.builds(PartLimits, rows=st.integers(1, 9), steps=st.integers(1, 90), input_bytes=st.integers(1, 900)),
)
def test_parts_cover_every_row_once_in_order_and_keep_the_limits(lengths: list[int], limits: PartLimits) -> None:
    row_bytes = [8 * length for length in lengths]
    parts = list(split(lengths, row_bytes, limits))
    assert [row for part in parts for row in part] == list(range(len(lengths)))
    for part in parts:
        within = (
            len(part) <= limits.rows
            and sum(lengths[row] for row in part) <= limits.steps
            and sum(row_bytes[row] for row in part) <= limits.input_bytes
        )
        assert len(part) == 1 or within


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (PartLimits(), [5]),
        (PartLimits(rows=2), [2, 2, 1]),
        (PartLimits(steps=30), [3, 2]),
        (PartLimits(input_bytes=40), [1, 1, 1, 1, 1]),
        (PartLimits(steps=1), [1, 1, 1, 1, 1]),
    ],
)
def test_parts_are_as_few_as_the_limits_allow(limits: PartLimits, sizes: list[int]) -> None:
    assert [len(part) for part in split([10] * 5, [40] * 5, limits)] == sizes
