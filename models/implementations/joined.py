"""Implementation "2": all gates in one product, one for the input and one for the state in each step.

A GRU whose reset gate acts before the product needs the candidate's recurrent product apart: three a step. Keras's
implementation 2. Knows no equations.
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
    return ScanKernel.of(layer, step_of(layer, weights), Joined.of(layer, weights))


@dataclass(frozen=True, slots=True)
class Joined:
    gate_count: int
    everything: GateWeights
    runs: Mapping[range, GateWeights]  # every run of neighbouring gates

    @classmethod
    def of(cls, layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Joined:
        count = gate_count(weights, layer.units)
        runs = [range(start, stop) for start in range(count) for stop in range(start + 1, count + 1)]
        by_run = {run: GateWeights.of(weights, layer.units, run) for run in runs}
        return cls(count, by_run[range(count)], by_run)

    def project(self, inputs: Tensor) -> Iterator[Gates]:  # [T, B, F]
        for x in inputs.unbind(0):
            yield self.everything.project(x).chunk(self.gate_count, dim=1)

    def recurrent(self, h: Tensor, gates: range) -> Gates:  # [B, output_units]
        return self.runs[gates].recur(h).chunk(len(gates), dim=1)
