"""One tensor of a running network: with the lengths of its rows, and the mask that travels with it. Knows no layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cellserve.models.numerics.row_lengths import RowLengths


@dataclass(frozen=True, slots=True)
class Value:
    """A sequence [T, B, …] with its row lengths and perhaps a mask, or a vector [B, …]."""

    tensor: Tensor
    lengths: RowLengths | None = None  # None for a vector
    mask: Tensor | None = None  # [T, B] bool, True = valid

    @property
    def ends(self) -> RowLengths:
        """Raises ValueError for a vector, which has none."""
        if self.lengths is None:
            raise ValueError("a vector has no row lengths")
        return self.lengths
