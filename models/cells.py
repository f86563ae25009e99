"""One time step of LSTM (plain, or with peepholes and clips), GRU (both reset variants) and SimpleRNN: the equations alone.

A cell is a pure function of already projected inputs (x W + b, one tensor per gate), a function `recurrent(h, gates)` giving
h U of a run of gates, the previous state and the activations. How those products are arranged is the business of
implementations/. Gates are numbered in the canonical order of gate_order.py. Knows no time, no masks, no descriptions
(steps.py), and no weights but the LSTM's projection and peepholes. Equations: Keras 2; Hochreiter & Schmidhuber 1997 with
Gers' forget gate and peepholes, Cho et al. 2014; clips: TensorFlow 1's LSTMCell.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cellserve.models.activations import Elementwise

Gates = tuple[Tensor, ...]  # each [B, units]
States = tuple[Tensor, ...]  # the layer's named states in order, h first
Recurrent = Callable[[Tensor, range], Gates]
Step = Callable[[Gates, Recurrent, States], States]

LSTM_GATES = range(4)
GRU_GATES = range(3)
GRU_UPDATE_RESET = range(2)
GRU_CANDIDATE = range(2, 3)
SIMPLE_RNN_GATES = range(1)


def lstm(
    projected: Gates,  # i, f, c, o, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, output_units], c [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
    projection: Tensor | None = None,
) -> States:
    """i,f,o = recurrent_activation(..); c' = f c + i activation(..); h' = o activation(c') [times the projection]."""
    h, c = state
    x_i, x_f, x_c, x_o = projected
    h_i, h_f, h_c, h_o = recurrent(h, LSTM_GATES)
    i = recurrent_activation(x_i + h_i)
    f = recurrent_activation(x_f + h_f)
    o = recurrent_activation(x_o + h_o)
    c = f * c + i * activation(x_c + h_c)
    h = o * activation(c)
    return (h if projection is None else h @ projection), c


def lstm_with_extras(
    projected: Gates,  # i, f, c, o, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, output_units], c [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
    peepholes: Gates | None,  # of i, f and o, each [units]
    cell_clip: float | None,
    projection: Tensor | None,  # [units, projection_units]
    projection_clip: float | None,
) -> States:
    """As `lstm`; i and f also see c, and o sees c', each through its peephole; c' and the projected h' are clipped."""
    h, c = state
    i, f, candidate, o = (x + product for x, product in zip(projected, recurrent(h, LSTM_GATES)))
    if peepholes is not None:
        i, f = i + peepholes[0] * c, f + peepholes[1] * c
    c = recurrent_activation(f) * c + recurrent_activation(i) * activation(candidate)
    if cell_clip is not None:
        c = c.clamp(-cell_clip, cell_clip)
    if peepholes is not None:
        o = o + peepholes[2] * c
    h = recurrent_activation(o) * activation(c)
    if projection is not None:
        h = h @ projection
        if projection_clip is not None:
            h = h.clamp(-projection_clip, projection_clip)
    return h, c


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
    h_z, h_r = recurrent(h, GRU_UPDATE_RESET)
    z = recurrent_activation(x_z + h_z)
    r = recurrent_activation(x_r + h_r)
    (h_n,) = recurrent(r * h, GRU_CANDIDATE)
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
    h_z, h_r, h_n = recurrent(h, GRU_GATES)
    z = recurrent_activation(x_z + h_z)
    r = recurrent_activation(x_r + h_r)
    return (_mix(z, h, activation(x_n + r * h_n)),)


def simple_rnn(
    projected: Gates,  # one [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
) -> States:
    """h' = activation(x W + b + h U)."""
    (x,), (product,) = projected, recurrent(state[0], SIMPLE_RNN_GATES)
    return (activation(x + product),)


def simple_rnn_multiplied(
    projected: Gates,  # one [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
) -> States:
    """h' = activation((x W + b) h U): what exactly Keras 0.3.0 computed."""
    (x,), (product,) = projected, recurrent(state[0], SIMPLE_RNN_GATES)
    return (activation(x * product),)


def _mix(z: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """z old + (1 - z) new, in one operation."""
    return torch.lerp(new, old, z)
