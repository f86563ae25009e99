"""Implementation "fused": torch's own LSTM, GRU and RNN operators (cuDNN on a GPU), one call per layer and chunk.

Only the activations that those kernels hard-wire. They know neither masks nor ragged ends, so masked steps are taken out of
each row first (compaction.py), and rows of unequal length go in padded, or packed where only that gives every row its state at
its own end, or where there would be much padding. Knows no equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cellserve.models.description import gate_order
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.compaction import CompactingKernel
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.library_kernels import torch_kernel


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    packed = "projection" in weights and weights["projection"].device.type == "cpu"
    return CompactingKernel.of(
        layer, FusedCall(_module(layer, weights), packed), 1.0 if packed else torch_kernel(layer).packed_cost
    )


@dataclass(frozen=True, slots=True)
class FusedCall:
    """A RaggedCall: one torch module of one layer and one direction."""

    module: nn.RNNBase
    always_packed: bool  # torch warns of an unpacked LSTM with a projection on the CPU, where oneDNN has none

    def __call__(
        self,
        inputs: Tensor,  # [T, B, F]
        lengths: tuple[int, ...],
        states: tuple[Tensor, ...],  # each [B, width]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        initial = tuple(value.unsqueeze(0).contiguous() for value in states)
        hidden = initial if len(initial) > 1 else initial[0]
        if min(lengths) == len(inputs) and not self.always_packed:
            outputs, final = self.module(inputs.contiguous(), hidden)
        else:
            packed = pack_padded_sequence(inputs, torch.tensor(lengths), enforce_sorted=False)
            packed_outputs, final = self.module(packed, hidden)
            outputs, _ = pad_packed_sequence(packed_outputs, total_length=len(inputs))
        return outputs, tuple(value.squeeze(0) for value in (final if len(initial) > 1 else (final,)))


@torch.inference_mode(False)
@torch.no_grad()
def _module(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> nn.RNNBase:
    kernel, own = weights["kernel"], torch_kernel(layer)
    bias = layer.use_bias
    module = _MODULES[type(layer)](kernel.shape[0], layer, {"bias": bias, "device": kernel.device})
    places = gate_order.permutation(layer.gates, own.order)

    def reordered(array: Tensor) -> Tensor:  # [..., gates * units]
        blocks = array.chunk(len(places), dim=-1)
        return torch.cat([blocks[place] for place in places], dim=-1)

    arrays = {"weight_ih_l0": reordered(kernel).T, "weight_hh_l0": reordered(weights["recurrent_kernel"]).T}
    if bias:
        recurrent_bias = weights.get("recurrent_bias", torch.zeros_like(weights["bias"]))
        arrays |= {"bias_ih_l0": reordered(weights["bias"]), "bias_hh_l0": reordered(recurrent_bias)}
    if "projection" in weights:
        arrays["weight_hr_l0"] = weights["projection"].T
    module.load_state_dict(arrays)
    module.requires_grad_(False)
    module.flatten_parameters()
    return module.eval()


_MODULES: Final[Mapping[type[Layer], Callable[[int, Any, Mapping[str, Any]], nn.RNNBase]]] = {
    LstmLayer: lambda inputs, layer, options: nn.LSTM(inputs, layer.units, proj_size=layer.projection_units or 0, **options),
    GruLayer: lambda inputs, layer, options: nn.GRU(inputs, layer.units, **options),
    SimpleRnnLayer: lambda inputs, layer, options: nn.RNN(inputs, layer.units, nonlinearity=layer.activation.name, **options),
}
