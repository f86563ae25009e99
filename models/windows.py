"""The layers that see several time steps at once: convolution, pooling, zeros around, and pooling over all of a row.

Every row is laid out for its windows as if it were alone: its own length decides where its windows begin, and what stands
beyond counts in none. A mask ends here, as it does in the frameworks. Knows no graph and no weights' names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.activations import Elementwise, resolve
from cellserve.models.clock import Change, Margin, ShiftingLayer, change_of
from cellserve.models.row_lengths import RowLengths
from cellserve.models.spec import Conv1dLayer, GlobalPooling1dLayer, Pooling1dLayer
from cellserve.models.value import Value


def prepare(layer: ShiftingLayer | GlobalPooling1dLayer, weights: Mapping[str, Tensor]) -> Callable[[Value], Value]:
    """Raises InvalidSpec: an activation given an alpha that it does not have."""
    if isinstance(layer, GlobalPooling1dLayer):
        return _largest if layer.mode == "max" else _average
    change = change_of(layer)
    if isinstance(layer, Conv1dLayer):
        kernel = weights["kernel"].permute(2, 1, 0).contiguous()  # [units, F, size]
        convolve = partial(
            _convolve,
            kernel=kernel,
            bias=weights.get("bias"),
            stride=layer.strides,
            dilation=layer.dilation,
            activation=resolve(layer.activation),
        )
        return partial(_windowed, name=layer.name, change=change, compute=convolve)
    if isinstance(layer, Pooling1dLayer):
        pool = _pool_max if layer.mode == "max" else _pool_average
        return partial(
            _windowed, name=layer.name, change=change, compute=partial(pool, size=layer.pool_size, stride=layer.strides)
        )
    return partial(_windowed, name=layer.name, change=change, compute=_padded)


Compute = Callable[[Tensor, Tensor], Tensor]
"""(steps laid out for the windows [P, B, F] with zeros where no step is, which of them are steps [P, B]) -> [T', B, F']."""


def _windowed(x: Value, *, name: str, change: Change, compute: Compute) -> Value:
    """Raises ValueError for rows too short for a window, which `shapes.minimum_time_steps` tells beforehand."""
    ends = x.ends
    counts = [change.steps(length) for length in ends.host]
    if 0 in counts:
        raise ValueError(f"layer {name!r} needs rows that are long enough for a window; one has {min(ends.host)} time steps")
    steps = change.steps(ends.steps)
    laid, inside = _laid_out(x.tensor, ends, change, steps)
    return Value(compute(laid, inside), RowLengths(counts, steps, ends.device))


def _laid_out(x: Tensor, ends: RowLengths, change: Change, steps: int) -> tuple[Tensor, Tensor]:  # [T, B, F]
    """[P, B, F] and [P, B]: each row from where its first window begins to where the batch's last one ends, zeros around."""
    if isinstance(change, Margin):
        places, starts = steps, [-change.before] * len(ends.host)
    else:
        places, starts = (steps - 1) * change.stride + change.size, [change.start(length) for length in ends.host]
    wanted = torch.arange(places, device=x.device).unsqueeze(1) + torch.tensor(starts, device=x.device)  # [P, B]
    inside = (wanted >= 0) & (wanted < ends.on_device)
    index = wanted.clamp(0, len(x) - 1).unsqueeze(2).expand(-1, -1, x.shape[2])
    return torch.where(inside.unsqueeze(2), x.gather(0, index), x.new_zeros(())), inside


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


def _padded(laid: Tensor, inside: Tensor) -> Tensor:  # [P, B, F]
    return laid


def _largest(x: Value) -> Value:
    return Value(torch.where(x.ends.inside.unsqueeze(2), x.tensor, torch.full_like(x.tensor, -torch.inf)).amax(dim=0))


def _average(x: Value) -> Value:
    valid = x.ends.inside if x.mask is None else x.mask & x.ends.inside
    kept = torch.where(valid.unsqueeze(2), x.tensor, x.tensor.new_zeros(()))
    return Value(kept.sum(dim=0) / valid.sum(dim=0).unsqueeze(1))
