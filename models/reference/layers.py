"""Every layer that is not recurrent, on one row: values, and how a mask travels. Knows no graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.reference import windows
from cellserve.models.reference.activations import apply
from cellserve.models.spec import (
    ActivationLayer,
    BatchNormalizationLayer,
    Conv1dLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    LayerNormalizationLayer,
    LayerSpec,
    MaskingLayer,
    MergeLayer,
    Padding1dLayer,
    Pooling1dLayer,
    PReluLayer,
    RepeatVectorLayer,
    ReverseLayer,
    UnitNormalizationLayer,
)

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
MASK_ENDS = (
    FlattenLayer,
    LastStepLayer,
    RepeatVectorLayer,
    Conv1dLayer,
    Pooling1dLayer,
    GlobalPooling1dLayer,
    Padding1dLayer,
)


def value(
    layer: LayerSpec,
    arrays: Mapping[str, Array],
    inputs: list[Array],  # each [T,F], [T] ids or [F]
    masks: list[Mask | None],  # each [T]
) -> Array:
    """The layer's output for one row: [T, *features] or [*features]."""
    x = inputs[0]
    match layer:
        case EmbeddingLayer():
            rows = [arrays["table"][token] for token in x]
            return np.stack(rows)
        case DenseLayer():
            return apply(layer.activation, x @ arrays["kernel"] + arrays.get("bias", 0))
        case ActivationLayer():
            return apply(layer.activation, x)
        case PReluLayer():
            bent: Array = np.where(x > 0, x, arrays["alpha"] * x)
            return bent
        case DropoutLayer():
            scaled: Array = x * np.asarray(layer.scale, dtype=x.dtype)
            return scaled
        case BatchNormalizationLayer():
            normal: Array = (x - arrays["moving_mean"]) / np.sqrt(arrays["moving_variance"] + layer.epsilon)
            return normal * arrays.get("gamma", 1) + arrays.get("beta", 0)
        case LayerNormalizationLayer():
            centred = x - x.mean(axis=-1, keepdims=True)
            normal = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + layer.epsilon)
            return normal * arrays.get("gamma", 1) + arrays.get("beta", 0)
        case UnitNormalizationLayer():
            length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
            unit: Array = x / np.maximum(length, layer.epsilon)
            return unit
        case MaskingLayer():
            kept: Array = x * masked_by_value(layer, x)[:, None]
            return kept
        case ReverseLayer():
            backwards: Array = x[::-1]
            return backwards
        case LastStepLayer():
            last: Array = x[-1]
            return last
        case Conv1dLayer() | Pooling1dLayer() | Padding1dLayer() | GlobalPooling1dLayer():
            return windows.value(layer, arrays, x, masks[0])
        case MergeLayer():
            return _merge_of_counting(layer, inputs, masks) if layer.counts_where == "any" else _merge(layer, inputs)
        case FlattenLayer():
            return np.ravel(x)
        case RepeatVectorLayer():
            return np.stack([x] * layer.count)
        case _:
            raise TypeError(f"the oracle does not know layers of kind {layer.kind!r}")


def mask(layer: LayerSpec, inputs: list[Array], masks: list[Mask | None]) -> Mask | None:
    """The mask [T] that the layer's output carries, None for none. A reversed sequence keeps its mask unreversed, as in Keras."""
    made: list[Mask | None] = []
    if isinstance(layer, MASK_ENDS) or (isinstance(layer, MergeLayer) and layer.counts_where == "always"):
        return None
    if isinstance(layer, EmbeddingLayer) and layer.mask_zero:
        made.append(inputs[0] != 0)
    if isinstance(layer, MaskingLayer):
        made.append(masked_by_value(layer, inputs[0]))
    present = [one for one in (*masks, *made) if one is not None]
    if isinstance(layer, MergeLayer) and layer.counts_where == "any":
        return np.logical_or.reduce(present) if len(present) == len(inputs) else None
    return np.logical_and.reduce(present) if present else None


def masked_by_value(layer: MaskingLayer, x: Array) -> Mask:  # x [T, F]
    """True where the step counts: any feature differs from the masking value, both in the float32 of the frameworks."""
    different: Mask = np.any(x.astype(np.float32) != np.float32(layer.mask_value), axis=-1)
    return different


def _merge(layer: MergeLayer, inputs: list[Array]) -> Array:
    if layer.mode == "concat":
        return np.concatenate(inputs, axis=-1)
    if layer.mode == "subtract":
        difference: Array = inputs[0] - inputs[1]
        return difference
    if layer.mode in ("maximum", "minimum"):
        chosen: Array = np.stack(inputs).max(axis=0) if layer.mode == "maximum" else np.stack(inputs).min(axis=0)
        return chosen
    total = inputs[0]
    for other in inputs[1:]:
        total = total * other if layer.mode == "multiply" else total + other
    return total / len(inputs) if layer.mode == "average" else total


def _merge_of_counting(layer: MergeLayer, inputs: list[Array], masks: list[Mask | None]) -> Array:
    """Step by step, of the inputs that count there."""
    if layer.mode not in ("multiply", "maximum", "minimum") or all(mask is None for mask in masks):
        return _merge(layer, inputs)
    steps = []
    for t in range(len(inputs[0])):
        there = [x[t] for x, mask in zip(inputs, masks) if mask is None or mask[t]]
        none = np.zeros_like(inputs[0][t]) if layer.mode == "multiply" else inputs[0][t]
        steps.append(_merge(layer, there) if there else none)
    return np.stack(steps)
