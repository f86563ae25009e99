"""Every cell, by the class of its layer. Knows no equations: each family's file lists its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import UnknownKind
from cellserve.models.numerics.cells import gru, legacy, lstm, simple_rnn, slstm
from cellserve.models.numerics.cells.cell import Cell, Step

CELLS: Final[Mapping[type[Layer], Cell]] = {**lstm.CELLS, **slstm.CELLS, **gru.CELLS, **simple_rnn.CELLS, **legacy.CELLS}


def cell_of(layer: RecurrentLayer) -> Cell:
    """Raises UnknownKind: it has none."""
    if (cell := CELLS.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the cells (CELLS)")
    return cell


def step_of(layer: RecurrentLayer, weights: Mapping[str, Tensor]) -> Step:
    """`weights`: the layer's canonical arrays; its products are not among what is bound. Raises InvalidSpec (activations)."""
    return cell_of(layer)(layer, weights)
