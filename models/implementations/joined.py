"""Implementation "2": all gates in one product, one for the input and one for the state in each step.

Products a step: LSTM, SimpleRNN and GRU 2. What acts on another vector than h needs a product of its own: the candidate of a
GRU whose reset gate acts before the product, and of JZS1 and JZS2 (3 a step), and JZS3's tanh(h) too (4); SimpleDeepRNN has
one for each step that it looks back, beside that of the input. Keras's implementation 2. Knows no equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.gate_weights import Product, input_product, recurrent_product
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.scan import ScanKernel
from cellserve.models.numerics.cells.cell import Gates
from cellserve.models.numerics.cells.table import step_of


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    return ScanKernel.of(layer, step_of(layer, weights), Joined.of(layer, weights))


@dataclass(frozen=True, slots=True)
class Joined:
    gate_count: int
    everything: Product
    runs: Mapping[range, Product]  # every run of neighbouring gates

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Joined:
        gates = layer.recurrent_gates
        runs = [range(start, stop) for start in gates for stop in range(start + 1, gates.stop + 1)]
        by_run = {run: recurrent_product(layer, weights, run) for run in runs}
        return cls(len(layer.gates), input_product(layer, weights, range(len(layer.gates))), by_run)

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        for x in inputs.unbind(0):
            yield self.everything(x).chunk(self.gate_count, dim=1)

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return self.runs[gates](h).chunk(len(gates), dim=1)
