"""One time step of an LSTM: plain, or with peepholes, clips and an activation of its own for the output.

Equations: Hochreiter & Schmidhuber 1997 with Gers' forget gate and peepholes, as Keras 2 has them; clips: TensorFlow 1's
LSTMCell. Knows no time, no masks, and no weights but the projection and the peepholes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from torch import Tensor

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics.activations import Elementwise, resolve, within
from cellserve.models.numerics.cells.cell import Cell, Gates, Recurrent, States, Step

GATES: Final = range(4)


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
    h_i, h_f, h_c, h_o = recurrent(h, GATES)
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
    candidate_activation: Elementwise,
    gate: Elementwise,
    peepholes: Gates | None,  # of i, f and o, each [units]
    cell_clip: float | None,
    projection: Tensor | None,  # [units, projection_units]
    projection_clip: float | None,
) -> States:
    """As `lstm`; i and f also see c, and o sees c', each through its peephole; c' and the projected h' are clipped.

    `activation` is the output's; `gate` and `candidate_activation` are what becomes of a gate's sum and of the candidate's,
    clips of these included.
    """
    h, c = state
    i, f, candidate, o = (x + product for x, product in zip(projected, recurrent(h, GATES)))
    if peepholes is not None:
        i, f = i + peepholes[0] * c, f + peepholes[1] * c
    c = gate(f) * c + gate(i) * candidate_activation(candidate)
    if cell_clip is not None:
        c = c.clamp(-cell_clip, cell_clip)
    if peepholes is not None:
        o = o + peepholes[2] * c
    h = gate(o) * activation(c)
    if projection is not None:
        h = h @ projection
        if projection_clip is not None:
            h = h.clamp(-projection_clip, projection_clip)
    return h, c


def _step(layer: LstmLayer, weights: Mapping[str, Tensor]) -> Step:
    activation, recurrent_activation = resolve(layer.activation), resolve(layer.recurrent_activation)
    projection = weights.get("projection")
    clips = (layer.cell_clip, layer.projection_clip, layer.gate_clip)
    if not layer.peepholes and layer.output_activation is None and all(clip is None for clip in clips):
        return partial(lstm, activation=activation, recurrent_activation=recurrent_activation, projection=projection)
    return partial(
        lstm_with_extras,
        activation=activation if layer.output_activation is None else resolve(layer.output_activation),
        candidate_activation=within(layer.gate_clip, activation),
        gate=within(layer.gate_clip, recurrent_activation),
        peepholes=tuple(weights[f"peephole_{gate}"] for gate in "ifo") if layer.peepholes else None,
        cell_clip=layer.cell_clip,
        projection=projection,
        projection_clip=layer.projection_clip,
    )


CELLS: Final[Mapping[type[Layer], Cell]] = {LstmLayer: _step}
