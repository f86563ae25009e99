"""The layers around the recurrence: what each makes of its inputs, and of their masks.

A layer is prepared once from its arrays and then maps values to a value. Masks travel as Keras lets them: through every layer
that works step by step, also unreversed through a reversal, and no further than the sequence itself. Knows no recurrence;
what sees several steps at once is windows.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models import merging, windows
from cellserve.models.activations import Elementwise, resolve
from cellserve.models.row_lengths import RowLengths
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
from cellserve.models.value import Value

PreparedLayer = Callable[..., Value]


def prepare(layer: LayerSpec, weights: Mapping[str, Tensor]) -> PreparedLayer:
    """A function from the layer's input values to its output. `weights`: its canonical arrays without its name, on the device.

    Raises InvalidSpec: an activation given an alpha that it does not have. ValueError: a recurrent layer.
    """
    match layer:
        case EmbeddingLayer():
            return partial(_embedding, table=weights["table"], mask_zero=layer.mask_zero)
        case DenseLayer():
            function = resolve(layer.activation)
            return partial(_dense, kernel=weights["kernel"].T, bias=weights.get("bias"), activation=function)
        case ActivationLayer():
            return partial(_mapped, function=resolve(layer.activation))
        case PReluLayer():
            return partial(_mapped, function=partial(_prelu, alpha=weights["alpha"]))
        case DropoutLayer():
            return _unchanged if layer.scale == 1 else partial(_mapped, function=partial(torch.mul, other=layer.scale))
        case BatchNormalizationLayer():
            return _batch_normalization(layer, weights)
        case LayerNormalizationLayer():
            width = next(iter(weights.values())).shape if weights else None
            normalize = partial(_layer_norm, width=width, weights=weights, epsilon=layer.epsilon)
            return partial(_mapped, function=normalize)
        case UnitNormalizationLayer():
            return partial(_mapped, function=partial(F.normalize, dim=-1, eps=layer.epsilon))
        case MaskingLayer():
            return partial(_masking, mask_value=layer.mask_value)
        case ReverseLayer():
            return _reverse
        case LastStepLayer():
            return _last_step
        case Conv1dLayer() | Pooling1dLayer() | Padding1dLayer() | GlobalPooling1dLayer():
            return windows.prepare(layer, weights)
        case MergeLayer():
            return partial(merging.merge, layer)
        case FlattenLayer():
            return partial(_flatten, name=layer.name)
        case RepeatVectorLayer():
            return partial(_repeat_vector, count=layer.count)
        case _:
            raise ValueError(f"layer {layer.name!r} ({layer.kind}) is run by an implementation, not here")


def _embedding(ids: Value, *, table: Tensor, mask_zero: bool) -> Value:
    rows = F.embedding(ids.ends.clean(ids.tensor), table)
    return Value(rows, ids.lengths, merging.both(ids.mask, ids.tensor != 0) if mask_zero else ids.mask)


def _dense(x: Value, *, kernel: Tensor, bias: Tensor | None, activation: Elementwise) -> Value:
    return replace(x, tensor=activation(F.linear(x.tensor, kernel, bias)))


def _mapped(x: Value, *, function: Elementwise) -> Value:
    return replace(x, tensor=function(x.tensor))


def _prelu(x: Tensor, *, alpha: Tensor) -> Tensor:  # [..., F], [F]
    return torch.where(x > 0, x, alpha * x)


def _unchanged(x: Value) -> Value:
    return x


def _batch_normalization(layer: BatchNormalizationLayer, weights: Mapping[str, Tensor]) -> PreparedLayer:
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    scale = weights.get("gamma", torch.ones_like(mean)) * torch.rsqrt(variance + layer.epsilon)
    shift = weights.get("beta", torch.zeros_like(mean))

    def normalize(x: Tensor) -> Tensor:  # [..., F]
        return (x - mean) * scale + shift

    return partial(_mapped, function=normalize)


def _layer_norm(x: Tensor, *, width: torch.Size | None, weights: Mapping[str, Tensor], epsilon: float) -> Tensor:  # [..., F]
    return F.layer_norm(x, width or x.shape[-1:], weights.get("gamma"), weights.get("beta"), epsilon)


def _masking(x: Value, *, mask_value: float) -> Value:
    valid = (x.tensor != mask_value).any(dim=-1)  # [T, B]
    kept = torch.where(valid.unsqueeze(-1), x.tensor, x.tensor.new_zeros(()))
    return Value(kept, x.lengths, merging.both(x.mask, valid))


def _reverse(x: Value) -> Value:
    return replace(x, tensor=x.ends.reversed(x.tensor))


def _last_step(x: Value) -> Value:
    return Value(x.ends.last(x.tensor))


def _flatten(x: Value, *, name: str) -> Value:
    if x.lengths is None:
        return Value(x.tensor.flatten(1))
    if x.lengths.ragged:
        raise ValueError(f"layer {name!r} (flatten) needs every row to have all {x.lengths.steps} time steps")
    return Value(x.tensor.transpose(0, 1).flatten(1))


def _repeat_vector(x: Value, *, count: int) -> Value:
    rows = x.tensor.shape[0]
    return Value(x.tensor.expand(count, *x.tensor.shape), RowLengths([count] * rows, count, x.tensor.device))
