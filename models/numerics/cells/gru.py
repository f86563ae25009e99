"""One time step of a GRU, with its reset gate before or after the product, and of minGRU and minLSTM, which have none.

Equations: Cho et al. 2014 as Keras 2 has them; Feng et al. 2024. Knows no time, no masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.cells import GruLayer, MinGruLayer, MinLstmLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.activations import Elementwise, resolve, within
from cellserve.models.numerics.cells.cell import Cell, Gates, Recurrent, States, Step

GATES: Final = range(3)
UPDATE_RESET: Final = range(2)
CANDIDATE: Final = range(2, 3)


def gru_reset_before(
    projected: Gates,  # z, r, candidate, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
) -> States:
    """candidate = activation(x W + b + (r h) U); h' = z h + (1 - z) candidate."""
    (h,) = state
    x_z, x_r, x_n = projected
    h_z, h_r = recurrent(h, UPDATE_RESET)
    z = recurrent_activation(x_z + h_z)
    r = recurrent_activation(x_r + h_r)
    (h_n,) = recurrent(r * h, CANDIDATE)
    return (_mix(z, h, activation(x_n + h_n)),)


def gru_reset_after(
    projected: Gates,  # z, r, candidate, each [B, units]
    recurrent: Recurrent,  # with the recurrent biases
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
) -> States:
    """candidate = activation(x W + b + r (h U + recurrent bias)); h' = z h + (1 - z) candidate."""
    (h,) = state
    x_z, x_r, x_n = projected
    h_z, h_r, h_n = recurrent(h, GATES)
    z = recurrent_activation(x_z + h_z)
    r = recurrent_activation(x_r + h_r)
    return (_mix(z, h, activation(x_n + r * h_n)),)


def min_gru(
    projected: Gates,  # z, candidate, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
) -> States:
    """h' = (1 - z) h + z candidate: here z takes the new. No recurrent product."""
    (h,), (x_z, x_n) = state, projected
    return (_mix(recurrent_activation(x_z), activation(x_n), h),)


def min_lstm(
    projected: Gates,  # f, i, candidate, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
) -> States:
    """h' = (f h + i candidate) / (f + i): f's share is the sigmoid of a difference of logarithms, and never 0 / 0."""
    (h,), (x_f, x_i, x_n) = state, projected
    return (_mix(torch.sigmoid(F.logsigmoid(x_f) - F.logsigmoid(x_i)), h, activation(x_n)),)


def _mix(z: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """z old + (1 - z) new, in one operation."""
    return torch.lerp(new, old, z)


def _step(layer: GruLayer, weights: Mapping[str, Tensor]) -> Step:
    gru = gru_reset_after if layer.reset_after else gru_reset_before
    activation, recurrent_activation = resolve(layer.activation), resolve(layer.recurrent_activation)
    bound = layer.gate_clip
    return partial(gru, activation=within(bound, activation), recurrent_activation=within(bound, recurrent_activation))


def _min_gru_step(layer: MinGruLayer, weights: Mapping[str, Tensor]) -> Step:
    return partial(min_gru, activation=resolve(layer.activation), recurrent_activation=resolve(layer.recurrent_activation))


def _min_lstm_step(layer: MinLstmLayer, weights: Mapping[str, Tensor]) -> Step:
    return partial(min_lstm, activation=resolve(layer.activation))


CELLS: Final[Mapping[type[Layer], Cell]] = {GruLayer: _step, MinGruLayer: _min_gru_step, MinLstmLayer: _min_lstm_step}
