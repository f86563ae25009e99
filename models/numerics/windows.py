"""The layers that lay a row out in time anew, or sum it up: convolution, pooling, zeros around, and pooling over all of a row.

Every row is laid out for its windows as if it were alone: its own length decides where its windows begin, and what stands
beyond counts in none. A mask ends here, as it does in the frameworks. Knows no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.planes import Conv2dLayer, Pooling2dLayer
from cellserve.models.description.layers.rows import AttentionPooling1dLayer, GlobalPooling1dLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Cropping1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.description.step_counts import Change
from cellserve.models.errors import UnknownKind
from cellserve.models.numerics import planes
from cellserve.models.numerics.activations import Elementwise, resolve
from cellserve.models.numerics.reductions import Attention, Average, Largest, Reduction, Total
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value

Arrays = Mapping[str, Tensor]
Compute = Callable[[Tensor, Tensor], Tensor]
"""(steps laid out for the windows [P, B, F] with zeros where no step is, which of them are steps [P, B]) -> [T', B, F']."""


def reduction_of(layer: Layer) -> Reduction:
    """Of a layer that sums up. Raises UnknownKind: one that is not in `REDUCTIONS`."""
    if (made := REDUCTIONS.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the layers that sum up a row (REDUCTIONS)")
    return made(layer)


@dataclass(frozen=True, slots=True)
class Windowed:
    """A layer prepared: whole rows by a call, rows laid out by somebody else by `compute`."""

    name: str
    change: Change
    compute: Compute

    def __call__(self, x: Value) -> Value:
        """Raises ValueError for rows too short for a window, which `shapes.minimum_time_steps` tells beforehand."""
        ends = x.ends
        counts = [self.change.steps(length) for length in ends.host]
        if 0 in counts:
            shortest = min(ends.host)
            raise ValueError(f"layer {self.name!r} needs rows of {self.change.needed(1)} time steps or more; one has {shortest}")
        steps = self.change.steps(ends.steps)
        laid, inside = _laid_out(x.tensor, ends, self.change, steps)
        return Value(self.compute(laid, inside), RowLengths(counts, steps, ends.device))


def _conv1d(layer: Conv1dLayer, weights: Arrays) -> Compute:
    return partial(
        _convolve,
        kernel=weights["kernel"].permute(2, 1, 0).contiguous(),  # [units, F, size]
        bias=weights.get("bias"),
        stride=layer.strides,
        dilation=layer.dilation,
        activation=resolve(layer.activation),
    )


def _pooling_1d(layer: Pooling1dLayer, weights: Arrays) -> Compute:
    return partial(_pool_max if layer.mode == "max" else _pool_average, size=layer.pool_size, stride=layer.strides)


def _only_laid_out(layer: Layer, weights: Arrays) -> Compute:
    """For layers that do no more than put steps around a row, or cut it."""
    return _as_laid_out


def _laid_out(x: Tensor, ends: RowLengths, change: Change, steps: int) -> tuple[Tensor, Tensor]:  # [T, B, *features]
    """[P, B, *features] and [P, B]: each row from where its first window begins to the batch's last one, and what is around."""
    starts = [change.start(length) for length in ends.host]
    wanted = torch.arange(change.span(steps), device=x.device).unsqueeze(1) + torch.tensor(starts, device=x.device)  # [P, B]
    inside = change.inside(wanted, ends.on_device)
    beside = (1,) * (x.dim() - 2)
    index = (
        change.source(wanted, ends.on_device).clamp(0, len(x) - 1).reshape(*wanted.shape, *beside).expand(-1, -1, *x.shape[2:])
    )
    return torch.where(inside.reshape(*inside.shape, *beside), x.gather(0, index), x.new_zeros(())), inside


def _convolve(
    laid: Tensor,  # [P, B, F]
    inside: Tensor,
    *,
    kernel: Tensor,  # [units, F, size]
    bias: Tensor | None,  # [units]
    stride: int,
    dilation: int,
    activation: Elementwise,
) -> Tensor:
    convolved = F.conv1d(laid.permute(1, 2, 0), kernel, bias, stride=stride, dilation=dilation)
    return activation(convolved.permute(2, 0, 1))


def _pool_max(laid: Tensor, inside: Tensor, *, size: int, stride: int) -> Tensor:  # [P, B, F], [P, B]
    lowest = torch.where(inside.unsqueeze(2), laid, torch.full_like(laid, -torch.inf))
    return lowest.unfold(0, size, stride).amax(dim=-1)


def _pool_average(laid: Tensor, inside: Tensor, *, size: int, stride: int) -> Tensor:  # [P, B, F], [P, B]
    counts = inside.to(laid.dtype).unfold(0, size, stride).sum(dim=-1)
    return laid.unfold(0, size, stride).sum(dim=-1) / counts.unsqueeze(2)


def _as_laid_out(laid: Tensor, inside: Tensor) -> Tensor:  # [P, B, F]
    return laid


def _pooled(x: Value, *, reduction: Reduction) -> Value:
    start = reduction.start(x.tensor.shape[2]).to(x.tensor.device)
    return Value(reduction.result(reduction.add(start.expand(x.tensor.shape[1], -1), x)))


def _windowed(layer: Layer, weights: Arrays) -> Callable[[Value], Value]:
    if layer.change is None:
        raise ValueError(f"layer {layer.name!r} ({layer.kind}) lays nothing out in time")
    return Windowed(layer.name, layer.change, COMPUTES[type(layer)](layer, weights))


def _summed(layer: Layer, weights: Arrays) -> Callable[[Value], Value]:
    return partial(_pooled, reduction=reduction_of(layer))


COMPUTES: Final[Mapping[type[Layer], Callable[[Any, Arrays], Compute]]] = {
    Conv1dLayer: _conv1d,
    Pooling1dLayer: _pooling_1d,
    Padding1dLayer: _only_laid_out,
    Cropping1dLayer: _only_laid_out,
    Conv2dLayer: planes.conv2d,
    Pooling2dLayer: planes.pooling_2d,
}
_POOLED: Final[Mapping[str, Callable[[], Reduction]]] = {"max": Largest, "average": Average, "sum": Total}
REDUCTIONS: Final[Mapping[type[Layer], Callable[[Any], Reduction]]] = {
    GlobalPooling1dLayer: lambda layer: _POOLED[layer.mode](),
    AttentionPooling1dLayer: lambda layer: Attention(layer.heads),
}
PREPARE: Final[Mapping[type[Layer], Callable[[Any, Arrays], Callable[[Value], Value]]]] = {
    **dict.fromkeys(COMPUTES, _windowed),
    **dict.fromkeys(REDUCTIONS, _summed),
}
