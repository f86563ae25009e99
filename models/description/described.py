"""What is known of any network that is served, be it layers or a step model, from its description alone. Knows no values."""

from __future__ import annotations

from collections import Counter
from math import prod

import numpy as np

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.shapes import expected_weights, infer_shapes
from cellserve.models.description.step_model import StepModel
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.spec import ModelSpec

Described = ModelSpec | StepModel


def shapes_of(spec: Described) -> dict[str, TensorShape]:
    """Of its inputs and outputs by name, and of whatever lies between. Raises InvalidSpec."""
    return spec.shapes() if isinstance(spec, StepModel) else infer_shapes(spec)


def inputs_of(spec: Described) -> tuple[str, ...]:
    """Their names."""
    if isinstance(spec, StepModel):
        return tuple(entry.name for entry in spec.inputs)
    return tuple(entry.name for entry in spec.inputs)


def obstacle_of(spec: Described) -> str | None:
    """Why it cannot be fed piece by piece; None if it can."""
    return None if isinstance(spec, StepModel) else causal_plan(spec).obstacle


def parameters_of(spec: Described) -> Counter[str]:
    """Numbers that each layer holds; of a step model those of its graph."""
    if isinstance(spec, StepModel):
        return Counter({"graph": spec.parameters})
    counts: Counter[str] = Counter()
    for name, shape in expected_weights(spec).items():
        counts[name.rpartition(".")[0]] += prod(shape)
    return counts


def weights_bytes_of(spec: Described) -> int:
    """As they are kept: in float32."""
    return np.dtype(np.float32).itemsize * parameters_of(spec).total()
