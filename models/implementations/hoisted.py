"""Implementation "0": every input projection of the chunk first, one product per gate over all its steps.

Fewer and larger products for more memory; then one small recurrent product per gate and step. Keras's implementation 0.
Knows no equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.gate_weights import Product, each_input_product, each_recurrent_product
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.scan import ScanKernel
from cellserve.models.numerics.cells.cell import Gates
from cellserve.models.numerics.cells.table import step_of


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    arrangement = Hoisted(each_input_product(layer, weights), each_recurrent_product(layer, weights))
    return ScanKernel.of(layer, step_of(layer, weights), arrangement)


@dataclass(frozen=True, slots=True)
class Hoisted:
    inputs: tuple[Product, ...]
    recurrents: Mapping[int, Product]  # by gate

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        steps, rows, _ = inputs.shape
        flat = inputs.reshape(steps * rows, -1)
        return zip(*(product(flat).view(steps, rows, -1).unbind(0) for product in self.inputs))

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return tuple(self.recurrents[gate](h) for gate in gates)
