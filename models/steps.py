"""Which cell a recurrent layer steps with: its equations with its activations, and what they need of its arrays, bound.

A new cell is its equations in cells.py and one branch here. Knows no time and no products.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from cellserve.models import cells, legacy_cells
from cellserve.models.activations import resolve
from cellserve.models.cells import Step
from cellserve.models.spec import GruLayer, JzsLayer, LstmLayer, RecurrentLayer, SimpleDeepRnnLayer


def step_of(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Step:
    """`weights`: the layer's canonical arrays; its products are not among what is bound. Raises InvalidSpec (activations)."""
    activation = resolve(layer.activation)
    match layer:
        case LstmLayer():
            return _lstm(layer, weights)
        case GruLayer():
            gru = cells.gru_reset_after if layer.reset_after else cells.gru_reset_before
            return partial(gru, activation=activation, recurrent_activation=resolve(layer.recurrent_activation))
        case JzsLayer(variant=1):
            return partial(
                legacy_cells.jzs1,
                activation=activation,
                recurrent_activation=resolve(layer.recurrent_activation),
                candidate_bias=weights.get("candidate_bias"),
            )
        case JzsLayer():
            jzs = legacy_cells.jzs2 if layer.variant == 2 else legacy_cells.jzs3
            return partial(jzs, activation=activation, recurrent_activation=resolve(layer.recurrent_activation))
        case SimpleDeepRnnLayer():
            return partial(
                legacy_cells.simple_deep_rnn,
                activation=activation,
                recurrent_activation=resolve(layer.recurrent_activation),
                depth=layer.depth,
            )
        case _:
            simple = cells.simple_rnn if layer.combine == "add" else cells.simple_rnn_multiplied
            return partial(simple, activation=activation)


def _lstm(layer: LstmLayer, weights: Mapping[str, Tensor]) -> Step:
    activation, recurrent_activation = resolve(layer.activation), resolve(layer.recurrent_activation)
    projection = weights.get("projection")
    if not layer.peepholes and layer.cell_clip is None and layer.projection_clip is None:
        return partial(cells.lstm, activation=activation, recurrent_activation=recurrent_activation, projection=projection)
    return partial(
        cells.lstm_with_extras,
        activation=activation,
        recurrent_activation=recurrent_activation,
        peepholes=tuple(weights[f"peephole_{gate}"] for gate in "ifo") if layer.peepholes else None,
        cell_clip=layer.cell_clip,
        projection=projection,
        projection_clip=layer.projection_clip,
    )
