"""Pooling over all of a row, summed up chunk by chunk: a running total per row, and what it comes to at the end.

Knows no layers and no chunks: whoever feeds it says where rows begin and end.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from cellserve.models.numerics.value import Value


class Reduction(Protocol):
    def start(self, features: int) -> Tensor:
        """[width]: the total of no steps."""
        ...

    def add(self, total: Tensor, x: Value) -> Tensor:  # [B, width], [T, B, features]
        """[B, width]: the total with these steps."""
        ...

    def result(self, total: Tensor) -> Tensor:  # [B, width]
        """[B, features]."""
        ...


class Largest:
    """A mask changes nothing, as in the frameworks."""

    def start(self, features: int) -> Tensor:
        return torch.full((features,), -torch.inf)

    def add(self, total: Tensor, x: Value) -> Tensor:  # [B, features], [T, B, features]
        return torch.maximum(total, torch.where(x.ends.inside.unsqueeze(2), x.tensor, -torch.inf).amax(dim=0))

    def result(self, total: Tensor) -> Tensor:  # [B, features]
        return total


class Average:
    """Over the valid steps; the total is their sum and, in the last column, their number."""

    def start(self, features: int) -> Tensor:
        return torch.zeros(features + 1)

    def add(self, total: Tensor, x: Value) -> Tensor:  # [B, features + 1], [T, B, features]
        valid = (x.ends.inside if x.mask is None else x.mask & x.ends.inside).unsqueeze(2)
        sums = torch.where(valid, x.tensor, x.tensor.new_zeros(())).sum(dim=0)
        return total + torch.cat([sums, valid.sum(dim=0)], dim=1)

    def result(self, total: Tensor) -> Tensor:  # [B, features + 1]
        return total[:, :-1] / total[:, -1:]
