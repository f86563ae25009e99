"""Implementation "packed" layer by layer: weights packed for a few rows at once, over tensors.

One call of the library for each layer and chunk. Every row is computed at its own length, step by step in one order: its numbers
are the same to the last bit whoever is in the batch and wherever chunks are cut. It computes on the CPU, for the widest set of
instructions that the processor has: AVX-512, AVX2, or what every processor of its kind has. Knows no equations (native/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.compaction import CompactingKernel
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.layer import PackedLayer
from cellserve.models.implementations.refusals import by_packed


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that refusals.by_packed refuses."""
    if (what := by_packed(layer)) is not None:
        raise ValueError(what)
    arrays = {name: tensor.numpy(force=True) for name, tensor in weights.items()}
    return kernel_of(layer, PackedLayer(library.loaded(), layer, arrays))


def kernel_of(layer: RecurrentLayer, packed: PackedLayer) -> RecurrentKernel:
    """packed: the weights of the layer, which others may read too."""
    return CompactingKernel.of(layer, PackedCall(packed), ragged_cost=0.0)


@dataclass(frozen=True, slots=True)
class PackedCall:
    """A RaggedCall: one call of the library, over the tensors' own memory on the way in."""

    layer: PackedLayer

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],
        states: tuple[Tensor, ...],  # each [B, width]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        given = np.ascontiguousarray(inputs.numpy(force=True), np.float32)
        ends = tuple(np.array(state.numpy(force=True), np.float32, order="C") for state in states)
        outputs = self.layer.run(given, lengths, ends)
        return torch.from_numpy(outputs).to(inputs.device), tuple(torch.from_numpy(end).to(inputs.device) for end in ends)
