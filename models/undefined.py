"""Layers that answer NaN whatever they are fed: batch normalizations whose variance lies below -epsilon.

Frameworks train and save such statistics, and answer NaN with them. Knows no framework and nothing that computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.stepwise import BatchNormalizationLayer
from cellserve.models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Undefined:
    """Features of one normalization. `negative`: how many lie under the root of a negative number; `zero`: over exactly zero."""

    layer: str
    negative: int
    zero: int
    features: int
    least: float
    epsilon: float


def undefined_normalizations(spec: ModelSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> list[Undefined]:
    """In float32, as all of them add epsilon. `arrays`: of the shapes that the network needs, by canonical name."""
    found = []
    for layer in (one for one in spec.layers if isinstance(one, BatchNormalizationLayer)):
        variance = np.asarray(arrays[f"{layer.name}.moving_variance"], np.float32)
        below = variance + np.float32(layer.epsilon)
        negative, zero = int(np.count_nonzero(below < 0)), int(np.count_nonzero(below == 0))
        if negative or zero:
            found.append(Undefined(layer.name, negative, zero, variance.size, float(variance.min()), layer.epsilon))
    return found
