"""Recurrent state: one flat row of float32 per sequence, in the columns of state_layout.py.

Moving sequences in and out of batches is one indexed gather or scatter of rows, whatever the network's depth. Knows no
layers' equations and no life cycle: whose row is whose is the caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cellserve.models.description.state_layout import StateLayout
from cellserve.models.numerics.uploads import indices

Rows = Sequence[int] | Tensor


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """`data`: [rows, layout.width] float32."""

    layout: StateLayout
    data: Tensor

    @classmethod
    @torch.inference_mode()
    def zeros(cls, layout: StateLayout, rows: int, device: torch.device | str = "cpu") -> RecurrentState:
        """The state before the first step, for `rows` sequences."""
        return cls(layout, torch.zeros(rows, layout.width, dtype=torch.float32, device=device))

    @classmethod
    @torch.inference_mode()
    def joined(
        cls, layout: StateLayout, states: Sequence[Mapping[str, Tensor]], rows: int, device: torch.device
    ) -> RecurrentState:
        """The inverse of `layer`, for all layers in order; each tensor [rows, width]."""
        if not layout.columns:
            return cls.zeros(layout, rows, device)
        return cls(layout, torch.cat([states[columns.layer_index][columns.state] for columns in layout.columns], dim=1))

    @property
    def rows(self) -> int:
        return self.data.shape[0]

    def view(self, layer_index: int, state: str) -> Tensor:
        """[rows, width] of one named state ("h", "c", "seen"), sharing memory with `data`."""
        for columns in self.layout.columns:
            if columns.layer_index == layer_index and columns.state == state:
                return self.data[:, columns.start : columns.start + columns.width]
        raise KeyError(f"recurrent layer {layer_index} has no state {state!r}")

    def layer(self, layer_index: int) -> dict[str, Tensor]:
        """Every named state of one layer: {"h": [rows, units], …, "seen": [rows, 1]}, sharing memory with `data`."""
        return {
            columns.state: self.data[:, columns.start : columns.start + columns.width]
            for columns in self.layout.columns
            if columns.layer_index == layer_index
        }

    @torch.inference_mode()
    def take(self, rows: Rows) -> RecurrentState:
        """A copy of these rows, in this order."""
        return RecurrentState(self.layout, self.data.index_select(0, self._index(rows)))

    @torch.inference_mode()
    def put(self, rows: Rows, other: RecurrentState) -> None:
        """Overwrites these rows with those of `other`, in order. A row named twice ends as either."""
        self.data.index_copy_(0, self._index(rows), other.data)

    def _index(self, rows: Rows) -> Tensor:
        if isinstance(rows, Tensor):
            return rows.to(self.data.device, torch.int64)
        return indices(rows, self.data.device)
