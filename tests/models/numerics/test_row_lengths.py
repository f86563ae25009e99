"""Ragged batches: last steps, reversal and cleaning at each row's own length."""

from __future__ import annotations

import pytest
import torch

from cellserve.models.numerics.row_lengths import RowLengths

CPU = torch.device("cpu")
BATCH = torch.tensor([[1, 10], [2, 20], [3, 30]])  # [T, B]


@pytest.mark.parametrize(
    ("lengths", "last", "turned", "clean"),
    [
        ([3, 3], [3, 30], [[3, 30], [2, 20], [1, 10]], [[1, 10], [2, 20], [3, 30]]),
        ([1, 3], [1, 30], [[1, 30], [2, 20], [3, 10]], [[1, 10], [0, 20], [0, 30]]),
        ([2, 1], [2, 10], [[2, 10], [1, 20], [3, 30]], [[1, 10], [2, 0], [0, 0]]),
    ],
)
def test_each_row_at_its_own_length(lengths: list[int], last: list[int], turned: list[list[int]], clean: list[list[int]]) -> None:
    ends = RowLengths(lengths, 3, CPU)
    assert ends.last(BATCH).tolist() == last
    assert ends.reversed(BATCH).tolist() == turned
    assert ends.clean(BATCH).tolist() == clean
    assert ends.clean(BATCH.unsqueeze(2)).squeeze(2).tolist() == clean
    assert ends.inside.sum(0).tolist() == lengths


def test_cleaning_removes_nan() -> None:
    spoilt = torch.tensor([[1.0, 1.0], [torch.nan, 1.0]])
    assert RowLengths([1, 2], 2, CPU).clean(spoilt).tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_equal_by_lengths_and_steps() -> None:
    assert RowLengths([1, 2], 2, CPU) == RowLengths((1, 2), 2, CPU)
    assert RowLengths([1, 2], 2, CPU) != RowLengths([1, 2], 3, CPU)
    assert RowLengths([1, 2], 2, CPU) != RowLengths([2, 2], 2, CPU)


@pytest.mark.parametrize(("lengths", "wrong"), [([0, 1], 0), ([2, 4], 4), ([-1], -1)])
def test_lengths_out_of_range_are_refused(lengths: list[int], wrong: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and the 3 steps of the batch, got {wrong}"):
        RowLengths(lengths, 3, CPU)
