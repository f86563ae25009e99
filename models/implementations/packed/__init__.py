"""Implementation "packed": LSTM, GRU and relatives in C++, with weights packed for a few rows at once.

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
from cellserve.models.implementations.packed.description import obstacle
from cellserve.models.implementations.packed.layer import PackedLayer


def unsupported(layer: RecurrentLayer) -> str | None:
    if (what := obstacle(layer)) is not None:
        return what
    if layer.mask_rule == "reset":
        return "a masked step resets its state; the packed kernel computes without masks"
    return library.missing()


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    """Raises ValueError for a layer that `unsupported` refuses."""
    if (what := unsupported(layer)) is not None:
        raise ValueError(what)
    arrays = {name: tensor.numpy(force=True) for name, tensor in weights.items()}
    return CompactingKernel.of(layer, PackedCall(PackedLayer(library.loaded(), layer, arrays)), ragged_cost=0.0)


def layer_of(kernel: RecurrentKernel) -> PackedLayer:
    """The packed weights in what `prepare` made. Raises TypeError for another kernel."""
    if isinstance(kernel, CompactingKernel) and isinstance(kernel.call, PackedCall):
        return kernel.call.layer
    raise TypeError(f"{kernel!r} is not a packed kernel")


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
