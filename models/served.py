"""Any network that can be served, of its description and its numbers: layers with weights, or a graph called as it is.

Knows no versions and no engine.
"""

from __future__ import annotations

from cellserve.models.description.described import Described
from cellserve.models.description.step_model import StepModel
from cellserve.models.errors import InvalidWeights
from cellserve.models.implementations import IMPLEMENTATIONS
from cellserve.models.network import Network
from cellserve.models.steps.graph_file import GraphFile
from cellserve.models.steps.network import StepNetwork
from cellserve.models.weights import Weights

Served = Network | StepNetwork
Numbers = Weights | GraphFile


def served(spec: Described, numbers: Numbers, device: str = "cpu") -> Served:
    """device: of layers; a graph runs on the processor. Raises InvalidSpec, InvalidWeights."""
    if isinstance(spec, StepModel) and isinstance(numbers, GraphFile):
        return StepNetwork(spec, numbers, tuple(IMPLEMENTATIONS))
    if isinstance(spec, StepModel) or isinstance(numbers, GraphFile):
        raise InvalidWeights("layers have weights and a step model has a graph; these do not belong together")
    return Network(spec, numbers, device)
