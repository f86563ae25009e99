"""A recurrence within each step: over an axis of features, for all rows and steps at once. Knows no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.within import WithinStepLayer
from cellserve.models.numerics.cells.cell import Gates, Step
from cellserve.models.numerics.cells.table import step_of
from cellserve.models.numerics.value import Value

Arrays = Mapping[str, Tensor]


def _within_step(layer: WithinStepLayer, weights: Arrays) -> Callable[[Value], Value]:
    return partial(_run, cell=layer.cell, turned_back=layer.turned_back, weights=weights, step=step_of(layer.cell, weights))


def _run(x: Value, *, cell: RecurrentLayer, turned_back: bool, weights: Arrays, step: Step) -> Value:
    leading = x.tensor.shape[:-2]
    inner = x.tensor.reshape(-1, *x.tensor.shape[-2:]).transpose(0, 1)  # [S, N, F]
    projected = inner @ weights["kernel"]
    if "bias" in weights:
        projected = projected + weights["bias"]
    states = tuple(projected.new_zeros(projected.shape[1], width) for width in cell.state_widths.values())
    recurrent = partial(_product, kernel=weights["recurrent_kernel"], bias=weights.get("recurrent_bias"), units=cell.units)
    made = []
    for gates in projected.flip(0) if cell.go_backwards else projected:
        states = step(torch.split(gates, cell.units, dim=-1), recurrent, states)
        made.append(states[0])
    outputs = torch.stack(made[::-1] if turned_back else made, dim=1) if cell.return_sequences else made[-1]
    return replace(x, tensor=outputs.reshape(*leading, *outputs.shape[1:]))


def _product(h: Tensor, gates: range, *, kernel: Tensor, bias: Tensor | None, units: int) -> Gates:
    columns = slice(gates.start * units, gates.stop * units)
    product = h @ kernel[:, columns]
    return torch.split(product if bias is None else product + bias[columns], units, dim=-1)


PREPARE: Final[Mapping[type[Layer], Callable[[Any, Arrays], Callable[[Value], Value]]]] = {WithinStepLayer: _within_step}
