"""The recurrent layers of Keras in lists of arrays that a person describes: in which order, and how they become canonical.

Knows no files: the lists are those of get_weights().
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import JzsLayer, SimpleDeepRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.importers import layout
from cellserve.models.importers.keras.layers import legacy_layout
from cellserve.models.importers.layout import Array, Arrays, LayoutError, Listed

GATE_TRIPLE: Final = ("W", "U", "b")  # Keras 0.x and 1.x


def count_of_triples(layer: RecurrentLayer, shapes: Sequence[tuple[int, ...]], triples: GateOrder | None) -> int:
    """The arrays of a layer that comes gate by gate, as its second one, U of the first gate, tells; else 0."""
    gate_by_gate = triples is not None and len(shapes) > 1 and shapes[1] == (layer.units, layer.units)
    return 3 * len(triples or ()) if gate_by_gate else 0


def joined(triples: GateOrder | None = None) -> Listed:
    """Kernel, recurrent kernel and bias; or, where `triples` says in which order, W, U and b of each gate."""
    return Listed(partial(_roles, triples=triples), _canonical)


def _roles(layer: RecurrentLayer, following: Sequence[Array], *, triples: GateOrder | None) -> tuple[str, ...]:
    if {"projection", "peephole_i"} & layer.arrays((layer.units,)).keys():
        raise LayoutError("keras has no LSTM with a projection or peepholes; the layout tensorflow1 has")
    if count_of_triples(layer, [array.shape for array in following], triples):
        return tuple(f"{array}_{gate}" for gate in triples or () for array in GATE_TRIPLE)
    return ("kernel", "recurrent_kernel", *(("bias",) if layer.use_bias else ()))


def _canonical(layer: RecurrentLayer, stored: Arrays, forget_bias: float) -> Arrays:
    if f"U_{layer.gates[0]}" in stored:
        return layout.keras_1_recurrent(layer, stored)
    return layout.keras_recurrent(layer, list(stored.values()))


def _jzs_roles(layer: JzsLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """With P where an array of its shape is next: any for other than `units` inputs, else the identity, as Keras made it."""
    own = legacy_layout.JZS_ARRAYS[layer.variant]
    if (
        layer.variant not in legacy_layout.PROJECTED
        or len(following) <= len(own)
        or following[len(own)].shape != following[0].shape
    ):
        return own
    inputs, candidate = len(following[0]), following[len(own)]
    return (*own, "P") if inputs != layer.units or np.array_equal(candidate, np.eye(inputs)) else own


def _jzs(layer: JzsLayer, stored: Arrays, forget_bias: float) -> Arrays:
    arrays, own = list(stored.values()), legacy_layout.JZS_ARRAYS[layer.variant]
    inputs = len(arrays[0])
    if layer.variant in legacy_layout.PROJECTED and len(arrays) == len(own) and inputs != layer.units:
        raise LayoutError(
            f"Keras projected its {inputs} inputs to {layer.units} units by a random matrix, Pmat, which is not among the arrays"
        )
    return legacy_layout.jzs(layer, arrays, projection=None)


def _simple_deep_rnn_roles(layer: SimpleDeepRnnLayer, following: Any) -> tuple[str, ...]:
    return ("W", *(f"U_{age + 1}" for age in range(layer.depth)), "b")


def _simple_deep_rnn(layer: SimpleDeepRnnLayer, stored: Arrays, forget_bias: float) -> Arrays:
    return legacy_layout.simple_deep_rnn(layer, list(stored.values()))


JZS: Final = Listed(_jzs_roles, _jzs)
SIMPLE_DEEP_RNN: Final = Listed(_simple_deep_rnn_roles, _simple_deep_rnn)
