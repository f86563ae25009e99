"""How long each row of a time-major batch is: host-side integers, and the index tensors that follow from them, made once.

A batch [T, B, …] is ragged: row b holds lengths[b] real steps, and whatever stands beyond them must never matter. Everything
that depends on where rows end (validity, last steps, reversal) is asked here. Knows no layers and no masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from cellserve.models.numerics.uploads import indices


class RowLengths:
    """`lengths`: 1 … steps per row; `steps`: T. Two of the same lengths and steps are equal.

    Raises ValueError for a length out of that range.
    """

    def __init__(self, lengths: Sequence[int], steps: int, device: torch.device) -> None:
        self.host = tuple(lengths)
        self.steps = steps
        self.device = device
        if wrong := [length for length in self.host if not 1 <= length <= steps]:
            raise ValueError(f"row lengths must be between 1 and the {steps} steps of the batch, got {wrong[0]}")
        self.shortest = min(self.host, default=steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowLengths) and (self.host, self.steps) == (other.host, other.steps)

    @property
    def ragged(self) -> bool:
        return self.shortest < self.steps

    @cached_property
    def on_device(self) -> Tensor:
        """[B] int64."""
        return indices(self.host, self.device)

    @cached_property
    def inside(self) -> Tensor:
        """[T, B] bool: the real steps."""
        return torch.arange(self.steps, device=self.device).unsqueeze(1) < self.on_device

    def last(self, sequence: Tensor) -> Tensor:
        """[T, B, …] to [B, …]: each row at its own last step."""
        if not self.ragged:
            return sequence[-1]
        return sequence[self.on_device - 1, self._rows]

    def reversed(self, sequence: Tensor) -> Tensor:
        """[T, B, …] to the same: each row turned round within its own length, what stands beyond left in place."""
        if not self.ragged:
            return sequence.flip(0)
        return sequence[self._reversal, self._rows]

    def clean(self, sequence: Tensor) -> Tensor:
        """[T, B, …] to the same, zeros beyond each row's length."""
        if not self.ragged:
            return sequence
        inside = self.inside.reshape(self.inside.shape + (1,) * (sequence.dim() - 2))
        return torch.where(inside, sequence, sequence.new_zeros(()))

    @cached_property
    def _rows(self) -> Tensor:
        return torch.arange(self.on_device.shape[0], device=self.device)

    @cached_property
    def _reversal(self) -> Tensor:
        steps = torch.arange(self.steps, device=self.device).unsqueeze(1).expand(-1, len(self.host))
        return torch.where(self.inside, self.on_device - 1 - steps, steps)
