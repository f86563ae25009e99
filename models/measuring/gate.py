"""The gate of publishing and the proof at loading, of whatever is served: layers against the oracle, graphs against onnxruntime.

Knows no repository and no service.
"""

from __future__ import annotations

from typing import Final

from cellserve.models.description.described import Described
from cellserve.models.description.step_model import StepModel
from cellserve.models.errors import InvalidWeights
from cellserve.models.implementations import IMPLEMENTATIONS
from cellserve.models.measuring import parity
from cellserve.models.measuring.golden_pair import GoldenPair
from cellserve.models.measuring.parity import ParityReport
from cellserve.models.measuring.step_parity import check_steps, verify_steps
from cellserve.models.served import Numbers, Served
from cellserve.models.steps.graph_file import GraphFile
from cellserve.models.steps.network import StepNetwork

BY_HAND: Final = "onnxruntime, called by hand"


def check(spec: Described, numbers: Numbers) -> ParityReport:
    """Raises ParityFailure, and what making the network raises."""
    if isinstance(spec, StepModel):
        if not isinstance(numbers, GraphFile):
            raise InvalidWeights("a step model needs its graph, and has weights")
        return check_steps(spec, numbers, tuple(IMPLEMENTATIONS))
    if isinstance(numbers, GraphFile):
        raise InvalidWeights("layers need weights, and have a graph")
    return parity.check(spec, numbers)


def verify(network: Served, golden: GoldenPair, bound: float, implementation: str) -> float:
    """The largest difference of one implementation from a golden pair. Raises ParityFailure."""
    if isinstance(network, StepNetwork):
        return verify_steps(network, golden, bound, implementation)
    return parity.verify(network, golden, bound, implementation)
