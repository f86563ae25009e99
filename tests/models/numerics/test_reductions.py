"""Pooling over all of a row in pieces: what the whole gives, masks and ends included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.numerics.reductions import Average, Largest, Reduction
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value

STEPS, ROWS, WIDTH = 7, 2, 3
DEVICE = torch.device("cpu")
X = torch.randn(STEPS, ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(STEPS, ROWS, generator=torch.Generator().manual_seed(1)) < 0.7


def total(reduction: Reduction, pieces: list[Value]) -> torch.Tensor:
    sum_so_far = reduction.start(WIDTH).expand(ROWS, -1)
    for piece in pieces:
        sum_so_far = reduction.add(sum_so_far, piece)
    return reduction.result(sum_so_far)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reduction", [Largest(), Average()], ids=["largest", "average"])
@given(cut=st.integers(1, STEPS - 1))
def test_pieces_give_what_the_whole_gives(reduction: Reduction, masked: bool, cut: int) -> None:
    mask = MASK if masked else None
    pieces = [
        Value(part, RowLengths([len(part)] * ROWS, len(part), DEVICE), None if mask is None else valid)
        for part, valid in ((X[:cut], MASK[:cut]), (X[cut:], MASK[cut:]))
    ]
    if isinstance(reduction, Largest):
        expected = X.amax(dim=0)
    else:
        counted = MASK if masked else torch.ones_like(MASK)
        expected = (X * counted.unsqueeze(2)).sum(dim=0) / counted.sum(dim=0).unsqueeze(1)
    torch.testing.assert_close(total(reduction, pieces), expected)


@pytest.mark.parametrize("reduction", [Largest(), Average()], ids=["largest", "average"])
def test_what_stands_beyond_a_row_does_not_count(reduction: Reduction) -> None:
    spoilt = X.clone()
    spoilt[4:, 0] = torch.nan
    found = total(reduction, [Value(spoilt, RowLengths([4, STEPS], STEPS, DEVICE))])
    expected = total(reduction, [Value(X[:4], RowLengths([4, 4], 4, DEVICE))])
    torch.testing.assert_close(found[0], expected[0])
    assert found.isfinite().all()
