"""The layers that spectra are made with: bands put around those of each step, and magnitudes. Knows no graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.spectral import BandPaddingLayer, MagnitudeLayer
from cellserve.models.description.step_counts import Margin
from cellserve.models.numerics.value import Value


def _band_padding(layer: BandPaddingLayer, weights: Mapping[str, Tensor]) -> Callable[[Value], Value]:
    return partial(_padded, margin=Margin(layer.before, layer.after, layer.fill))


def _magnitude(layer: MagnitudeLayer, weights: Mapping[str, Tensor]) -> Callable[[Value], Value]:
    return partial(_sized, layer=layer)


def _padded(x: Value, *, margin: Margin) -> Value:
    axis = 1 if x.lengths is None else 2
    bands = x.tensor.shape[axis]
    places = torch.arange(-margin.before, bands + margin.after, device=x.tensor.device)
    made = x.tensor.index_select(axis, margin.source(places, bands).clamp(0, bands - 1))
    there = margin.inside(places, bands).reshape(-1, *(1,) * (x.tensor.dim() - axis - 1))
    return replace(x, tensor=torch.where(there, made, made.new_zeros(())))


def _sized(x: Value, *, layer: MagnitudeLayer) -> Value:
    real, imaginary = x.tensor.chunk(2, dim=-1)
    power = real * real + imaginary * imaginary + layer.epsilon
    return replace(x, tensor=power.sqrt() if layer.power == 1 else power)


PREPARE: Final[Mapping[type[Layer], Callable[[Any, Mapping[str, Tensor]], Callable[[Value], Value]]]] = {
    BandPaddingLayer: _band_padding,
    MagnitudeLayer: _magnitude,
}
