"""Convolution and pooling over time and bands, of rows that are laid out for their windows. Knows no graph."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.planes import Conv2dLayer, Pooling2dLayer
from cellserve.models.numerics.activations import Elementwise, resolve

if TYPE_CHECKING:
    from cellserve.models.numerics.windows import Arrays, Compute

Pair = tuple[int, int]


def conv2d(layer: Conv2dLayer, weights: Arrays) -> Compute:
    return partial(
        _convolve,
        kernel=weights["kernel"].permute(3, 2, 0, 1).contiguous(),  # [units, channels, size over time, size over bands]
        bias=weights.get("bias"),
        margin=layer.band_margin,
        stride=layer.strides,
        dilation=layer.dilation,
        activation=resolve(layer.activation),
    )


def pooling_2d(layer: Pooling2dLayer, weights: Arrays) -> Compute:
    pool = _pool_max if layer.mode == "max" else _pool_average
    return partial(pool, margin=layer.band_margin, size=layer.pool_size, stride=layer.strides)


def _convolve(
    laid: Tensor,  # [P, B, bands, channels]
    inside: Tensor,
    *,
    kernel: Tensor,
    bias: Tensor | None,  # [units]
    margin: Pair,
    stride: Pair,
    dilation: Pair,
    activation: Elementwise,
) -> Tensor:
    padded = F.pad(_planes(laid), margin)
    return activation(_steps(F.conv2d(padded, kernel, bias, stride=stride, dilation=dilation)))


def _pool_max(laid: Tensor, inside: Tensor, *, margin: Pair, size: Pair, stride: Pair) -> Tensor:  # [P, B, bands, channels]
    lowest = torch.where(inside[..., None, None], laid, torch.full_like(laid, -torch.inf))
    return _steps(F.max_pool2d(F.pad(_planes(lowest), margin, value=-torch.inf), size, stride))


def _pool_average(laid: Tensor, inside: Tensor, *, margin: Pair, size: Pair, stride: Pair) -> Tensor:  # [P, B, bands, channels]
    there = inside[..., None, None].expand(-1, -1, laid.shape[2], 1).to(laid.dtype)
    sums, counts = (F.avg_pool2d(F.pad(_planes(one), margin), size, stride) for one in (laid, there))
    return _steps(sums / counts)


def _planes(laid: Tensor) -> Tensor:
    """[P, B, bands, channels] to [B, channels, P, bands]."""
    return laid.permute(1, 3, 0, 2)


def _steps(planes: Tensor) -> Tensor:
    """[B, channels, T, bands] to [T, B, bands, channels]."""
    return planes.permute(2, 0, 3, 1)
