"""Implementation "0": every input projection of the chunk first, one product per gate over all its steps.

Fewer and larger products for more memory; then one small recurrent product per gate and step. Keras's implementation 0.
Knows no equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from cellserve.models.cells import Gates, step_of
from cellserve.models.implementations.gate_weights import GateWeights
from cellserve.models.implementations.kernel import RecurrentKernel
from cellserve.models.implementations.per_gate import each_gate
from cellserve.models.implementations.scan import ScanKernel
from cellserve.models.spec import RecurrentLayer


def unsupported(layer: RecurrentLayer) -> str | None:
    return None


def prepare(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> RecurrentKernel:
    return ScanKernel.of(layer, step_of(layer, weights), Hoisted(each_gate(layer, weights)))


@dataclass(frozen=True, slots=True)
class Hoisted:
    gates: tuple[GateWeights, ...]

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        steps, rows, _ = inputs.shape
        flat = inputs.reshape(steps * rows, -1)
        return zip(*(gate.project(flat).view(steps, rows, -1).unbind(0) for gate in self.gates))

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return tuple(gate.recur(h) for gate in self.gates[gates.start : gates.stop])
