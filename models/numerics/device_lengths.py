"""Row lengths that only the device knows: for a run that is recorded once and repeated for rows of other lengths.

Nothing may be decided by them in Python, so every batch counts as ragged from its first step on; a row may have no steps at all.
"""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from cellserve.models.numerics.row_lengths import RowLengths


class DeviceLengths(RowLengths):
    """`lengths`: [B] int64, 0 … steps, read whenever the run is. Equal to itself alone. It has no `host`."""

    def __init__(self, lengths: Tensor, steps: int) -> None:  # [B] int64
        self.steps = steps
        self.device = lengths.device
        self.shortest = 0
        self._lengths = lengths

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]  # as that of RowLengths

    @cached_property
    def on_device(self) -> Tensor:
        return self._lengths

    def last(self, sequence: Tensor) -> Tensor:
        """[T, B, …] to [B, …]; of a row without steps any of them."""
        return sequence[(self.on_device - 1).clamp(min=0), self._rows]
