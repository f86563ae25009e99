"""One time step of a SimpleRNN, as Keras 2 has it, or as exactly Keras 0.3.0 had it. Knows no time, no masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from torch import Tensor

from cellserve.models.description.layers.cells import SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.activations import Elementwise, resolve, within
from cellserve.models.numerics.cells.cell import Cell, Gates, Recurrent, States, Step

GATES: Final = range(1)


def simple_rnn(
    projected: Gates,  # one [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
) -> States:
    """h' = activation(x W + b + h U)."""
    (x,), (product,) = projected, recurrent(state[0], GATES)
    return (activation(x + product),)


def simple_rnn_multiplied(
    projected: Gates,  # one [B, units]
    recurrent: Recurrent,
    state: States,  # h [B, units]
    *,
    activation: Elementwise,
) -> States:
    """h' = activation((x W + b) h U): what exactly Keras 0.3.0 computed."""
    (x,), (product,) = projected, recurrent(state[0], GATES)
    return (activation(x * product),)


def _step(layer: SimpleRnnLayer, weights: Mapping[str, Tensor]) -> Step:
    return partial(
        simple_rnn if layer.combine == "add" else simple_rnn_multiplied,
        activation=within(layer.gate_clip, resolve(layer.activation)),
    )


CELLS: Final[Mapping[type[Layer], Cell]] = {SimpleRnnLayer: _step}
