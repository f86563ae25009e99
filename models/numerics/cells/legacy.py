"""One time step of the cells that Keras had in 2015 and dropped: JZS1 to JZS3 (MUT1 to MUT3) and SimpleDeepRNN.

Neither torch nor ONNX has kernels of them. Sources: keras/layers/recurrent.py at tags
0.1.2 and 0.2.0; Jozefowicz et al. 2015. Knows no time and no masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import torch
from torch import Tensor

from cellserve.models.description.layers.cells import JzsLayer, SimpleDeepRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.activations import Elementwise, resolve
from cellserve.models.numerics.cells.cell import Cell, Gates, Recurrent, States, Step

UPDATE = range(1)
RESET = range(1, 2)
UPDATE_RESET = range(2)
CANDIDATE = range(2, 3)


def jzs1(
    projected: Gates,  # z, r, x P, each [B, units]
    recurrent: Recurrent,  # of r and the candidate
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
    candidate_bias: Tensor | None,  # [units]
) -> States:
    """z = s(x W + b); candidate = activation(tanh(x P) + b + (r h) U). Two recurrent products."""
    (h,) = state
    x_z, x_r, x_p = projected
    (h_r,) = recurrent(h, RESET)
    x_n = torch.tanh(x_p)
    if candidate_bias is not None:
        x_n = x_n + candidate_bias
    return _mixed(recurrent_activation(x_z), recurrent_activation(x_r + h_r), x_n, recurrent, h, activation)


def jzs2(
    projected: Gates,  # z, x P + b, candidate, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
) -> States:
    """z and r see h; candidate = activation(x W + b + (r h) U). Three recurrent products, of which z and r can be one."""
    (h,) = state
    x_z, x_r, x_n = projected
    h_z, h_r = recurrent(h, UPDATE_RESET)
    return _mixed(recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r), x_n, recurrent, h, activation)


def jzs3(
    projected: Gates,  # z, r, candidate, each [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
) -> States:
    """As jzs2, but z sees tanh(h). Three recurrent products of three different vectors."""
    (h,) = state
    x_z, x_r, x_n = projected
    (h_z,), (h_r,) = recurrent(torch.tanh(h), UPDATE), recurrent(h, RESET)
    return _mixed(recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r), x_n, recurrent, h, activation)


def simple_deep_rnn(
    projected: Gates,  # one [B, units]
    recurrent: Recurrent,  # gate k: the h of k + 1 steps ago
    state: States,  # h, h_2 … [B, units] each; then, where missing steps add nothing, valid, valid_2 … [B, 1] each
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
    depth: int,
) -> States:
    """h' = activation(x W + b + the sum of recurrent_activation(h_k U_k) over those that were steps). `depth` products."""
    (total,) = projected
    hidden, valid = state[:depth], state[depth:]
    for age, h in enumerate(hidden):
        (product,) = recurrent(h, range(age, age + 1))
        term = recurrent_activation(product)
        total = total + (torch.where(valid[age] > 0, term, torch.zeros_like(term)) if valid else term)
    flags = (torch.ones_like(valid[0]), *valid[:-1]) if valid else ()
    return (activation(total), *hidden[:-1], *flags)


def _mixed(z: Tensor, r: Tensor, x_n: Tensor, recurrent: Recurrent, h: Tensor, activation: Elementwise) -> States:
    """z candidate + (1 - z) h: here z takes the new, in a GRU it keeps the old."""
    (h_n,) = recurrent(r * h, CANDIDATE)
    return (torch.lerp(h, activation(x_n + h_n), z),)


def _jzs_step(layer: JzsLayer, weights: Mapping[str, Tensor]) -> Step:
    activation, recurrent_activation = resolve(layer.activation), resolve(layer.recurrent_activation)
    if layer.variant == 1:
        bias = weights.get("candidate_bias")
        return partial(jzs1, activation=activation, recurrent_activation=recurrent_activation, candidate_bias=bias)
    jzs = jzs2 if layer.variant == 2 else jzs3
    return partial(jzs, activation=activation, recurrent_activation=recurrent_activation)


def _simple_deep_rnn_step(layer: SimpleDeepRnnLayer, weights: Mapping[str, Tensor]) -> Step:
    activation, recurrent_activation = resolve(layer.activation), resolve(layer.recurrent_activation)
    return partial(simple_deep_rnn, activation=activation, recurrent_activation=recurrent_activation, depth=layer.depth)


CELLS: Final[Mapping[type[Layer], Cell]] = {JzsLayer: _jzs_step, SimpleDeepRnnLayer: _simple_deep_rnn_step}
