"""One time step of an sLSTM: exponential gates, kept in range by a state that holds their largest exponent.

Equations: Beck et al. 2024. Knows no time and no masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cellserve.models.description.layers.cells import SLstmLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.activations import Elementwise, resolve
from cellserve.models.numerics.cells.cell import Cell, Gates, Recurrent, States, Step

GATES: Final = range(4)


def slstm(
    projected: Gates,  # i, f, c, o, each [B, units]
    recurrent: Recurrent,
    state: States,  # h, c, n, m, each [B, units]
    *,
    activation: Elementwise,
    recurrent_activation: Elementwise,
    forget_exponent: Elementwise,
) -> States:
    """m' = max(f's exponent + m, i's); c' = f c + i candidate and n' = f n + i, both divided by exp(m'); h' = o c' / n'.

    Where n is 0 there is no past, whose exponent then does not count: m' is that of i.
    """
    _, c, n, m = state
    i, f, candidate, o = (x + product for x, product in zip(projected, recurrent(state[0], GATES)))
    past = forget_exponent(f) + m
    largest = torch.where(n == 0, i, torch.maximum(i, past))
    forget, add = torch.exp((past - largest).clamp(max=0)), torch.exp(i - largest)
    c = forget * c + add * activation(candidate)
    n = forget * n + add
    return recurrent_activation(o) * c / n, c, n, largest


def _step(layer: SLstmLayer, weights: Mapping[str, Tensor]) -> Step:
    return partial(
        slstm,
        activation=resolve(layer.activation),
        recurrent_activation=resolve(layer.recurrent_activation),
        forget_exponent=F.logsigmoid if layer.forget_gate == "sigmoid" else _itself,
    )


def _itself(x: Tensor) -> Tensor:
    return x


CELLS: Final[Mapping[type[Layer], Cell]] = {SLstmLayer: _step}
