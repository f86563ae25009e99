"""Indices on a device."""

from __future__ import annotations

import torch

from cellserve.models.numerics.uploads import indices


def test_indices_are_whole_numbers_on_the_device() -> None:
    made = indices(range(3), torch.device("cpu"))
    assert made.tolist() == [0, 1, 2]
    assert made.dtype == torch.int64
    assert indices([], torch.device("cpu")).shape == (0,)
