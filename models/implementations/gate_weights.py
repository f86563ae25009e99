"""A recurrent layer's canonical arrays cut by gate: views, so that implementations share one copy on the device.

Knows no time and no cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class GateWeights:
    """The arrays of a run of gates; `bias` and `recurrent_bias` are None where the layer has none."""

    kernel: Tensor  # [F, gates * units]
    recurrent_kernel: Tensor  # [output_units, gates * units]
    bias: Tensor | None  # [gates * units]
    recurrent_bias: Tensor | None  # [gates * units]

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], units: int, gates: range) -> GateWeights:
        columns = slice(gates.start * units, gates.stop * units)
        bias, recurrent_bias = weights.get("bias"), weights.get("recurrent_bias")
        return cls(
            weights["kernel"][:, columns],
            weights["recurrent_kernel"][:, columns],
            None if bias is None else bias[columns],
            None if recurrent_bias is None else recurrent_bias[columns],
        )

    def project(self, x: Tensor) -> Tensor:
        """[N, F] to x W + b [N, gates * units]: one product."""
        return x @ self.kernel if self.bias is None else torch.addmm(self.bias, x, self.kernel)

    def recur(self, h: Tensor) -> Tensor:
        """[B, output_units] to h U + recurrent bias [B, gates * units]: one product."""
        if self.recurrent_bias is None:
            return h @ self.recurrent_kernel
        return torch.addmm(self.recurrent_bias, h, self.recurrent_kernel)


def gate_count(weights: Mapping[str, Tensor], units: int) -> int:
    return weights["kernel"].shape[1] // units
