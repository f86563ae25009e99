"""Which steps of a network's input its layers mask, asked before a call that cannot mask. Knows no call."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from cellserve.models.description.layers.stepwise import EmbeddingLayer, MaskingLayer
from cellserve.models.spec import ModelSpec


def masks(spec: ModelSpec) -> bool:
    """Whether any layer may mask steps."""
    return any(layer.mask_flow == "begins" for layer in spec.layers)


def masked(spec: ModelSpec, steps: NDArray[Any]) -> bool:
    """Whether a layer masks any of these steps [N, F] float32, or ids [N] int64, of the input."""
    for layer in spec.layers:
        if isinstance(layer, EmbeddingLayer) and layer.mask_zero and not steps.all():
            return True
        if isinstance(layer, MaskingLayer) and bool((steps == layer.mask_value).all(axis=1).any()):
            return True
    return False
