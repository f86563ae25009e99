"""Implementation "1": every product by itself, per gate and per step; small products, the least memory.

Products a step: LSTM 8; GRU, JZS2 and JZS3 6; JZS1 5; SimpleRNN 2; SimpleDeepRNN 1 and one for each step that it looks back.
Keras's implementation 1. Knows no equations.
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
    arrangement = PerGate(each_input_product(layer, weights), each_recurrent_product(layer, weights))
    return ScanKernel.of(layer, step_of(layer, weights), arrangement)


@dataclass(frozen=True, slots=True)
class PerGate:
    inputs: tuple[Product, ...]
    recurrents: Mapping[int, Product]  # by gate

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        for x in inputs.unbind(0):
            yield tuple(product(x) for product in self.inputs)

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return tuple(self.recurrents[gate](h) for gate in gates)
