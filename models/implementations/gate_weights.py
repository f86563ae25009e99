"""A recurrent layer's canonical arrays cut by gate: views, so that implementations share one copy on the device.

The two sides are cut apart, because some cells have gates that see only one of them. Knows no time and no cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer


@dataclass(frozen=True, slots=True)
class Product:
    """One matrix of a run of gates, and what is added."""

    matrix: Tensor  # [inputs, gates * units]
    bias: Tensor | None  # [gates * units]

    def __call__(self, x: Tensor) -> Tensor:
        """[N, inputs] to x matrix + bias [N, gates * units]: one product."""
        return x @ self.matrix if self.bias is None else torch.addmm(self.bias, x, self.matrix)


def input_product(layer: RecurrentLayer, weights: Mapping[str, Tensor], gates: range) -> Product:
    """x W + b of these gates. A bias that is shorter than the kernel leaves its last gates without one."""
    kernel, bias = weights["kernel"], weights.get("bias")
    columns = _columns(gates, layer.units)
    if bias is not None and bias.shape[0] < columns.stop:
        bias = F.pad(bias, (0, kernel.shape[1] - bias.shape[0]))
    return Product(kernel[:, columns], None if bias is None else bias[columns])


def recurrent_product(layer: RecurrentLayer, weights: Mapping[str, Tensor], gates: range) -> Product:
    """h U, with the recurrent bias where there is one, of these gates, each of which must have a block in the kernel."""
    first, bias = layer.recurrent_gates.start, weights.get("recurrent_bias")
    columns = _columns(range(gates.start - first, gates.stop - first), layer.units)
    return Product(weights["recurrent_kernel"][:, columns], None if bias is None else bias[columns])


def each_input_product(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> tuple[Product, ...]:
    return tuple(input_product(layer, weights, range(gate, gate + 1)) for gate in range(len(layer.gates)))


def each_recurrent_product(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Mapping[int, Product]:
    """By gate."""
    return {gate: recurrent_product(layer, weights, range(gate, gate + 1)) for gate in layer.recurrent_gates}


def _columns(gates: range, units: int) -> slice:
    return slice(gates.start * units, gates.stop * units)
