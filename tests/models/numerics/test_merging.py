"""Merges of masked sequences, as Keras since 3.4 makes them; the oracle says the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.numerics.merging import merge
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value
from cellserve.models.reference.layers import twin_of

X = np.array([2.0, -3.0, 5.0, -7.0], np.float32)  # one row, one feature
Y = np.array([11.0, 13.0, -17.0, -19.0], np.float32)
X_COUNTS, Y_COUNTS = np.array([True, True, False, False]), np.array([True, False, True, False])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("multiply", [22.0, -3.0, -17.0, 0.0]),
        ("maximum", [11.0, -3.0, -17.0, -7.0]),
        ("minimum", [2.0, -3.0, -17.0, -7.0]),
        ("sum", [13.0, 10.0, -12.0, -26.0]),
    ],
)
def test_an_input_takes_part_where_it_counts(mode: str, expected: list[float]) -> None:
    assert_made(mode, (X_COUNTS, Y_COUNTS), expected, [True, True, True, False])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("multiply", [22.0, -39.0, -17.0, -19.0]), ("maximum", [11.0, 13.0, -17.0, -19.0]), ("concat", [[2.0, 11.0]])],
)
def test_an_input_without_a_mask_counts_everywhere(mode: str, expected: list[float]) -> None:
    assert_made(mode, (X_COUNTS, None), expected, None)


def assert_made(mode: str, masks: tuple[np.ndarray | None, ...], expected: list[float], counts: list[bool] | None) -> None:
    layer = MergeLayer(name="m", inputs=("x", "y"), mode=mode, counts_where="any")
    lengths = RowLengths([len(X)], len(X), torch.device("cpu"))
    staged = [None if mask is None else torch.from_numpy(mask)[:, None] for mask in masks]
    values = [Value(torch.from_numpy(one)[:, None, None], lengths, mask) for one, mask in zip((X, Y), staged, strict=True)]
    made = merge(layer, *values)
    rows = [one[:, None].astype(np.float64) for one in (X, Y)]
    said, valid = twin_of(layer).value(layer, {}, rows, list(masks)), twin_of(layer).mask(layer, rows, list(masks))
    np.testing.assert_array_equal(made.tensor[:, 0].numpy(), said)
    np.testing.assert_array_equal(said[: len(expected)].squeeze(), np.squeeze(expected))
    assert (None if made.mask is None else made.mask[:, 0].tolist()) == counts
    assert (None if valid is None else valid.tolist()) == counts
