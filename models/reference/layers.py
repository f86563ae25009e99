"""Every layer that is not recurrent, on one row: values, and how a mask travels. Knows no graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from cellserve.models.description.layers.attention import AttentionLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import (
    FlattenLayer,
    LastStepLayer,
    RepeatVectorLayer,
    ReverseLayer,
    UnflattenLayer,
)
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
    PReluLayer,
    ReshapeLayer,
    UnitNormalizationLayer,
)
from cellserve.models.description.layers.within import WithinStepLayer
from cellserve.models.errors import UnknownKind
from cellserve.models.reference import carried, spectra, windows
from cellserve.models.reference.activations import apply
from cellserve.models.reference.recurrence import run_row
from cellserve.models.reference.twin import Array, Mask, Masks, Twin, ends, travels

Arrays = Mapping[str, Array]


def twin_of(layer: Layer) -> Twin:
    """Raises UnknownKind: a kind that the oracle does not list."""
    if (twin := TWINS.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the oracle's layers (TWINS)")
    return twin


def _embedding(layer: EmbeddingLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return np.stack([arrays["table"][token] for token in inputs[0]])


def _embedding_mask(layer: EmbeddingLayer, inputs: list[Array], masks: Masks) -> Mask | None:
    return travels(layer, inputs, [*masks, inputs[0] != 0] if layer.mask_zero else masks)


def _dense(layer: DenseLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return apply(layer.activation, inputs[0] @ arrays["kernel"] + arrays.get("bias", 0))


def _activation(layer: ActivationLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return apply(layer.activation, inputs[0])


def _prelu(layer: PReluLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    x = inputs[0]
    return np.where(x > 0, x, arrays["alpha"] * x)


def _dropout(layer: DropoutLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    scaled: Array = inputs[0] * np.asarray(layer.scale, dtype=inputs[0].dtype)
    return scaled


def _batch_normalization(layer: BatchNormalizationLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    with np.errstate(invalid="ignore"):  # a variance below -epsilon has no root: NaN, as in every framework
        normal: Array = (inputs[0] - arrays["moving_mean"]) / np.sqrt(arrays["moving_variance"] + layer.epsilon)
    return normal * arrays.get("gamma", 1) + arrays.get("beta", 0)


def _layer_normalization(layer: LayerNormalizationLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    centred = inputs[0] - inputs[0].mean(axis=-1, keepdims=True)
    normal: Array = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + layer.epsilon)
    return normal * arrays.get("gamma", 1) + arrays.get("beta", 0)


def _unit_normalization(layer: UnitNormalizationLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    length = np.sqrt((inputs[0] * inputs[0]).sum(axis=-1, keepdims=True))
    unit: Array = inputs[0] / np.maximum(length, layer.epsilon)
    return unit


def _masking(layer: MaskingLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    kept: Array = inputs[0] * masked_by_value(layer, inputs[0])[:, None]
    return kept


def _masking_mask(layer: MaskingLayer, inputs: list[Array], masks: Masks) -> Mask | None:
    return travels(layer, inputs, [*masks, masked_by_value(layer, inputs[0])])


def masked_by_value(layer: MaskingLayer, x: Array) -> Mask:  # x [T, F]
    """True where the step counts: any feature differs from the masking value, both in the float32 of the frameworks."""
    different: Mask = np.any(x.astype(np.float32) != np.float32(layer.mask_value), axis=-1)
    return different


def _reverse(layer: ReverseLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """A reversed sequence keeps its mask unreversed, as in Keras."""
    backwards: Array = inputs[0][::-1]
    return backwards


def _last_step(layer: LastStepLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    last: Array = inputs[0][-1]
    return last


def _flatten(layer: FlattenLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return np.ravel(inputs[0])


def _repeat_vector(layer: RepeatVectorLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return np.stack([inputs[0]] * (len(inputs[1]) if layer.count is None else layer.count))


def _unflatten(layer: UnflattenLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    numbers = np.ravel(inputs[0])
    width = len(numbers) // layer.steps
    steps = []
    for t in range(layer.steps):
        steps.append(numbers[t :: layer.steps] if layer.time_last else numbers[t * width : (t + 1) * width])
    return np.stack(steps)


def _reshape(layer: ReshapeLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """Of a sequence, or of a vector, which has an axis less."""
    (x,), order = inputs, range(layer.axes) if layer.permutation is None else layer.permutation
    if x.ndim == layer.axes:
        return np.ravel(np.transpose(x, order)).reshape(layer.features)
    return np.stack([np.ravel(np.transpose(step, order)).reshape(layer.features) for step in x])


def _within_step(layer: WithinStepLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """Of a sequence [T, S, F], or of a vector [S, F]."""
    (x,) = inputs
    start = {name: np.zeros(width, dtype=x.dtype) for name, width in layer.cell.state_widths.items()}
    made = [run_row(layer.cell, arrays, step, None, start)[0] for step in (x if x.ndim == 3 else x[np.newaxis])]
    made = [one[::-1] for one in made] if layer.turned_back else made
    return np.stack(made) if x.ndim == 3 else made[0]


def _attention(layer: AttentionLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    queries, values, keys = inputs[0], inputs[1], inputs[-1]
    answers = []
    for query in queries:
        fits = np.array([_fit(layer, arrays, query, key) for key in keys])
        shares = np.exp(fits - fits.max())
        answers.append((shares / shares.sum()) @ values)
    return np.stack(answers).astype(queries.dtype)


def _fit(layer: AttentionLayer, arrays: Arrays, query: Array, key: Array) -> Array:  # [F]
    scale = arrays.get("scale", np.ones(1, dtype=query.dtype))
    if layer.score == "dot":
        fit: Array = (query @ key) * scale[0]
        return fit
    if layer.score == "additive":
        bent: Array = scale * np.tanh(query + key)
        return np.asarray(bent.sum())
    return np.asarray(np.tanh(scale[0] * (query + key)).sum() * arrays["weight"][0])


def _merge(layer: MergeLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return _merged_where_counting(layer, inputs, masks) if layer.counts_where == "any" else _merged(layer, inputs)


def _merge_mask(layer: MergeLayer, inputs: list[Array], masks: Masks) -> Mask | None:
    if layer.counts_where == "all":
        return travels(layer, inputs, masks)
    present = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(present) if layer.counts_where == "any" and len(present) == len(inputs) else None


def _merged(layer: MergeLayer, inputs: list[Array]) -> Array:
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


def _merged_where_counting(layer: MergeLayer, inputs: list[Array], masks: Masks) -> Array:
    """Step by step, of the inputs that count there."""
    if layer.mode not in ("multiply", "maximum", "minimum") or all(mask is None for mask in masks):
        return _merged(layer, inputs)
    steps = []
    for t in range(len(inputs[0])):
        there = [x[t] for x, mask in zip(inputs, masks) if mask is None or mask[t]]
        none = np.zeros_like(inputs[0][t]) if layer.mode == "multiply" else inputs[0][t]
        steps.append(_merged(layer, there) if there else none)
    return np.stack(steps)


TWINS: Final[Mapping[type[Layer], Twin]] = {
    EmbeddingLayer: Twin(_embedding, _embedding_mask),
    DenseLayer: Twin(_dense, travels),
    ActivationLayer: Twin(_activation, travels),
    PReluLayer: Twin(_prelu, travels),
    DropoutLayer: Twin(_dropout, travels),
    BatchNormalizationLayer: Twin(_batch_normalization, travels),
    LayerNormalizationLayer: Twin(_layer_normalization, travels),
    UnitNormalizationLayer: Twin(_unit_normalization, travels),
    MaskingLayer: Twin(_masking, _masking_mask),
    ReverseLayer: Twin(_reverse, travels),
    LastStepLayer: Twin(_last_step, ends),
    FlattenLayer: Twin(_flatten, ends),
    RepeatVectorLayer: Twin(_repeat_vector, ends),
    UnflattenLayer: Twin(_unflatten, ends),
    ReshapeLayer: Twin(_reshape, travels),
    WithinStepLayer: Twin(_within_step, travels),
    AttentionLayer: Twin(_attention, ends),
    MergeLayer: Twin(_merge, _merge_mask),
    **windows.TWINS,
    **spectra.TWINS,
    **carried.TWINS,
}
