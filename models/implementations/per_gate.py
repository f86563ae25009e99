"""Implementation "1": every product by itself, per gate and per step; small products, the least memory.

For an LSTM 8 products a step, for a GRU 6, for a SimpleRNN 2. Keras's implementation 1. Knows no equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cellserve.models.cells import Gates, step_of
from cellserve.models.implementations.gate_weights import GateWeights, gate_count
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.scan import ScanKernel
from cellserve.models.spec import RecurrentLayer


def unsupported(layer: RecurrentLayer) -> str | None:
    return None


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    return ScanKernel.of(layer, step_of(layer, weights), PerGate(each_gate(layer, weights)))


def each_gate(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> tuple[GateWeights, ...]:
    count = gate_count(weights, layer.units)
    return tuple(GateWeights.of(weights, layer.units, range(gate, gate + 1)) for gate in range(count))


@dataclass(frozen=True, slots=True)
class PerGate:
    gates: tuple[GateWeights, ...]

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        for x in inputs.unbind(0):
            yield tuple(gate.project(x) for gate in self.gates)

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return tuple(gate.recur(h) for gate in self.gates[gates.start : gates.stop])
