"""The layers around the recurrence: what each makes of its inputs, and of their masks.

A layer is prepared once from its arrays and then maps values to a value. Masks travel as Keras lets them: through every layer
that works step by step, also unreversed through a reversal, and no further than the sequence itself. Knows no recurrence;
what lays a row out in time anew, or sums it up, is windows.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

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
from cellserve.models.errors import UnknownKind
from cellserve.models.numerics import attention, carried, merging, spectra, windows, within
from cellserve.models.numerics.activations import Elementwise, resolve
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value

PreparedLayer = Callable[..., Value]
Arrays = Mapping[str, Tensor]


def prepare(layer: Layer, weights: Arrays) -> PreparedLayer:
    """A function from the layer's input values to its output. `weights`: its canonical arrays without its name, on the device.

    Raises InvalidSpec: an activation given an alpha that it does not have. UnknownKind: a layer that is not in `PREPARE`, as
    recurrent ones are not, which implementations run.
    """
    if (made := PREPARE.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the layers around the recurrence (PREPARE)")
    return made(layer, weights)


def _embedding(layer: EmbeddingLayer, weights: Arrays) -> PreparedLayer:
    return partial(_looked_up, table=weights["table"], mask_zero=layer.mask_zero)


def _dense(layer: DenseLayer, weights: Arrays) -> PreparedLayer:
    return partial(_affine, kernel=weights["kernel"].T, bias=weights.get("bias"), activation=resolve(layer.activation))


def _activation(layer: ActivationLayer, weights: Arrays) -> PreparedLayer:
    return partial(_mapped, function=resolve(layer.activation))


def _prelu(layer: PReluLayer, weights: Arrays) -> PreparedLayer:
    return partial(_mapped, function=partial(_bent, alpha=weights["alpha"]))


def _dropout(layer: DropoutLayer, weights: Arrays) -> PreparedLayer:
    return _unchanged if layer.scale == 1 else partial(_mapped, function=partial(torch.mul, other=layer.scale))


def _batch_normalization(layer: BatchNormalizationLayer, weights: Arrays) -> PreparedLayer:
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    scale = weights.get("gamma", torch.ones_like(mean)) * torch.rsqrt(variance + layer.epsilon)
    shift = weights.get("beta", torch.zeros_like(mean))

    def normalize(x: Tensor) -> Tensor:  # [..., F]
        return (x - mean) * scale + shift

    return partial(_mapped, function=normalize)


def _layer_normalization(layer: LayerNormalizationLayer, weights: Arrays) -> PreparedLayer:
    width = next(iter(weights.values())).shape if weights else None
    return partial(_mapped, function=partial(_normalized, width=width, weights=weights, epsilon=layer.epsilon))


def _unit_normalization(layer: UnitNormalizationLayer, weights: Arrays) -> PreparedLayer:
    return partial(_mapped, function=partial(F.normalize, dim=-1, eps=layer.epsilon))


def _masking(layer: MaskingLayer, weights: Arrays) -> PreparedLayer:
    return partial(_masked, mask_value=layer.mask_value)


def _merge(layer: MergeLayer, weights: Arrays) -> PreparedLayer:
    return partial(merging.merge, layer)


def _flatten(layer: FlattenLayer, weights: Arrays) -> PreparedLayer:
    return partial(_flat, name=layer.name)


def _repeat_vector(layer: RepeatVectorLayer, weights: Arrays) -> PreparedLayer:
    return partial(_repeated, count=layer.count)


def _unflatten(layer: UnflattenLayer, weights: Arrays) -> PreparedLayer:
    return partial(_in_time, steps=layer.steps, time_last=layer.time_last)


def _reshape(layer: ReshapeLayer, weights: Arrays) -> PreparedLayer:
    return partial(_laid_out, features=layer.features, order=layer.permutation)


def _looked_up(ids: Value, *, table: Tensor, mask_zero: bool) -> Value:
    rows = F.embedding(ids.ends.clean(ids.tensor), table)
    return Value(rows, ids.lengths, merging.both(ids.mask, ids.tensor != 0) if mask_zero else ids.mask)


def _affine(x: Value, *, kernel: Tensor, bias: Tensor | None, activation: Elementwise) -> Value:
    return replace(x, tensor=activation(F.linear(x.tensor, kernel, bias)))


def _mapped(x: Value, *, function: Elementwise) -> Value:
    return replace(x, tensor=function(x.tensor))


def _bent(x: Tensor, *, alpha: Tensor) -> Tensor:  # [..., F], [F]
    return torch.where(x > 0, x, alpha * x)


def _unchanged(x: Value) -> Value:
    return x


def _normalized(x: Tensor, *, width: torch.Size | None, weights: Mapping[str, Tensor], epsilon: float) -> Tensor:  # [..., F]
    return F.layer_norm(x, width or x.shape[-1:], weights.get("gamma"), weights.get("beta"), epsilon)


def _masked(x: Value, *, mask_value: float) -> Value:
    valid = (x.tensor != mask_value).any(dim=-1)  # [T, B]
    kept = torch.where(valid.unsqueeze(-1), x.tensor, x.tensor.new_zeros(()))
    return Value(kept, x.lengths, merging.both(x.mask, valid))


def _reversed(x: Value) -> Value:
    return replace(x, tensor=x.ends.reversed(x.tensor))


def _last(x: Value) -> Value:
    return Value(x.ends.last(x.tensor))


def _flat(x: Value, *, name: str) -> Value:
    if x.lengths is None:
        return Value(x.tensor.flatten(1))
    if x.lengths.ragged:
        raise ValueError(f"layer {name!r} (flatten) needs every row to have all {x.lengths.steps} time steps")
    return Value(x.tensor.transpose(0, 1).flatten(1))


def _repeated(x: Value, like: Value | None = None, *, count: int | None) -> Value:
    if count is None:
        if like is None or like.lengths is None:
            raise ValueError("a vector is repeated without a count and without a sequence")
        return Value(x.tensor.expand(len(like.tensor), *x.tensor.shape), like.lengths)
    rows = x.tensor.shape[0]
    return Value(x.tensor.expand(count, *x.tensor.shape), RowLengths([count] * rows, count, x.tensor.device))


def _in_time(x: Value, *, steps: int, time_last: bool) -> Value:
    rows = x.tensor.shape[0]
    if time_last:
        laid = x.tensor.reshape(rows, -1, steps).permute(2, 0, 1)
    else:
        laid = x.tensor.reshape(rows, steps, -1).transpose(0, 1)
    return Value(laid, RowLengths([steps] * rows, steps, x.tensor.device))


def _laid_out(x: Value, *, features: tuple[int, ...], order: tuple[int, ...] | None) -> Value:
    tensor, leading = x.tensor, 1 if x.lengths is None else 2
    if order is not None:
        tensor = tensor.permute(*range(leading), *(leading + axis for axis in order))
    return replace(x, tensor=tensor.reshape(*tensor.shape[:leading], *features))


PREPARE: Final[Mapping[type[Layer], Callable[[Any, Arrays], PreparedLayer]]] = {
    EmbeddingLayer: _embedding,
    DenseLayer: _dense,
    ActivationLayer: _activation,
    PReluLayer: _prelu,
    DropoutLayer: _dropout,
    BatchNormalizationLayer: _batch_normalization,
    LayerNormalizationLayer: _layer_normalization,
    UnitNormalizationLayer: _unit_normalization,
    MaskingLayer: _masking,
    MergeLayer: _merge,
    ReverseLayer: lambda layer, weights: _reversed,
    LastStepLayer: lambda layer, weights: _last,
    FlattenLayer: _flatten,
    RepeatVectorLayer: _repeat_vector,
    UnflattenLayer: _unflatten,
    ReshapeLayer: _reshape,
    **windows.PREPARE,
    **within.PREPARE,
    **spectra.PREPARE,
    **attention.PREPARE,
    **carried.PREPARE,
}
