"""Pooling over all of a row, summed up chunk by chunk: a running total per row, and what it comes to at the end.

Knows no layers and no chunks: whoever feeds it says where rows begin and end.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        valid = _valid(x)
        sums = torch.where(valid, x.tensor, x.tensor.new_zeros(())).sum(dim=0)
        return total + torch.cat([sums, valid.sum(dim=0)], dim=1)

    def result(self, total: Tensor) -> Tensor:  # [B, features + 1]
        return total[:, :-1] / total[:, -1:]


class Total:
    """Of the valid steps."""

    def start(self, features: int) -> Tensor:
        return torch.zeros(features)

    def add(self, total: Tensor, x: Value) -> Tensor:  # [B, features], [T, B, features]
        return total + torch.where(_valid(x), x.tensor, x.tensor.new_zeros(())).sum(dim=0)

    def result(self, total: Tensor) -> Tensor:  # [B, features]
        return total


@dataclass(frozen=True, slots=True)
class Attention:
    """The mean of the valid steps weighted by the softmax of the last `heads` features over time.

    The total: of each head the largest score so far, the sum of the weights relative to it, and so the sum of weighted steps.
    """

    heads: int

    def start(self, features: int) -> Tensor:
        width = features - self.heads
        return torch.cat([torch.full((self.heads,), -torch.inf), torch.zeros(self.heads + self.heads * width)])

    def add(self, total: Tensor, x: Value) -> Tensor:  # [B, heads + heads + heads F], [T, B, F + heads]
        heads = self.heads
        valid = _valid(x)
        steps = torch.where(valid, x.tensor[..., :-heads], x.tensor.new_zeros(()))  # [T, B, F]
        scores = torch.where(valid, x.tensor[..., -heads:], -torch.inf)  # [T, B, heads]
        largest, shares, sums = total.tensor_split([heads, 2 * heads], dim=1)
        highest = torch.maximum(largest, scores.amax(dim=0))
        origin = torch.where(highest.isneginf(), highest.new_zeros(()), highest)  # of rows without any step so far
        kept, weights = (largest - origin).exp(), (scores - origin).exp()
        weighted = torch.einsum("tbk,tbf->bkf", weights, steps).flatten(1)
        before = (self._of_heads(sums) * kept.unsqueeze(2)).flatten(1)
        return torch.cat([highest, shares * kept + weights.sum(dim=0), before + weighted], dim=1)

    def result(self, total: Tensor) -> Tensor:  # [B, heads + heads + heads F]
        _, shares, sums = total.tensor_split([self.heads, 2 * self.heads], dim=1)
        return (self._of_heads(sums) / shares.unsqueeze(2)).flatten(1)

    def _of_heads(self, sums: Tensor) -> Tensor:  # [B, heads F]
        return sums.view(len(sums), self.heads, sums.shape[1] // self.heads)


def _valid(x: Value) -> Tensor:
    """[T, B, 1]."""
    return (x.ends.inside if x.mask is None else x.mask & x.ends.inside).unsqueeze(2)
