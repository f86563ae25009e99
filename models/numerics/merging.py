"""Several tensors into one, and what becomes of their masks.

Where a step counts in all inputs, or always, masks change no values. Where any will do, as in Keras since 3.4, products and
extremes leave an input out at the steps that do not count in it. Knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce

import torch
from torch import Tensor

from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.numerics.value import Value

Mask = Tensor | None  # [T, B]; None: every step counts


def merge(layer: MergeLayer, *values: Value) -> Value:
    """Raises ValueError: sequences of different lengths."""
    first = values[0]
    if any(value.lengths != first.lengths for value in values):
        raise ValueError(f"layer {layer.name!r} (merge) was given sequences of different lengths; every row must have them equal")
    tensors, masks = [value.tensor for value in values], [value.mask for value in values]
    if layer.counts_where != "any":
        mask = reduce(both, masks) if layer.counts_where == "all" else None
        return Value(_MERGES[layer.mode](tensors), first.lengths, mask)
    masked = any(mask is not None for mask in masks)
    made = _MASKED[layer.mode](tensors, masks) if masked and layer.mode in _MASKED else _MERGES[layer.mode](tensors)
    return Value(made, first.lengths, reduce(_either, masks))


def both(mask: Mask, other: Mask) -> Mask:
    """Where a step counts in both."""
    if mask is None or other is None:
        return other if mask is None else mask
    return mask & other


def _either(mask: Mask, other: Mask) -> Mask:
    return None if mask is None or other is None else mask | other


def _average(tensors: list[Tensor]) -> Tensor:
    return reduce(torch.add, tensors) / len(tensors)


def _masked_product(tensors: list[Tensor], masks: list[Mask]) -> Tensor:
    """Zeros where a step counts in none."""
    product = reduce(torch.mul, [_chosen(mask, tensor, tensor.new_ones(())) for tensor, mask in zip(tensors, masks)])
    return _chosen(reduce(_either, masks), product, product.new_zeros(()))


def _masked_extreme(tensors: list[Tensor], masks: list[Mask], choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The first one's value where a step counts in none."""
    made, counts = tensors[0], masks[0]
    for tensor, mask in zip(tensors[1:], masks[1:]):
        other = _chosen(mask, tensor, made)
        made, counts = choose(_chosen(counts, made, other), other), _either(counts, mask)
    return made


def _chosen(mask: Mask, tensor: Tensor, otherwise: Tensor) -> Tensor:
    return tensor if mask is None else torch.where(mask.unsqueeze(-1), tensor, otherwise)


_MERGES: Mapping[str, Callable[[list[Tensor]], Tensor]] = {
    "concat": partial(torch.cat, dim=-1),
    "sum": partial(reduce, torch.add),
    "multiply": partial(reduce, torch.mul),
    "average": _average,
    "subtract": partial(reduce, torch.sub),
    "maximum": partial(reduce, torch.maximum),
    "minimum": partial(reduce, torch.minimum),
}
_MASKED: Mapping[str, Callable[[list[Tensor], list[Mask]], Tensor]] = {
    "multiply": _masked_product,
    "maximum": partial(_masked_extreme, choose=torch.maximum),
    "minimum": partial(_masked_extreme, choose=torch.minimum),
}
