"""Which arrays a layer has in the list of each framework, in which order, and how they become the canonical ones.

A layout is "keras", "torch" or "tensorflow1"; only recurrent layers (and torch's matrices) differ between them. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellserve.models import gate_order
from cellserve.models.importers import layout as layouts
from cellserve.models.importers import legacy_layout
from cellserve.models.importers.description import Layout
from cellserve.models.importers.layout import Array, Arrays, LayoutError
from cellserve.models.recurrent_layer import RecurrentLayer
from cellserve.models.recurrent_layers import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer
from cellserve.models.spec import LayerSpec
from cellserve.models.stepwise_layers import DenseLayer

GATE_TRIPLE = ("W", "U", "b")  # Keras 0.x and 1.x
SAME_IN_TORCH = frozenset({"embedding", "dense", "batch_normalization", "layer_normalization"})  # dense: but for the transpose


def roles(layer: LayerSpec, layout: Layout, canonical: Sequence[str], following: Sequence[Array]) -> tuple[str, ...]:
    """The layer's arrays in the order of its framework.

    `canonical`: the layer's own canonical arrays; `following`: those next in the list, whose shapes tell Keras's triple per gate
    from its joined arrays. Raises LayoutError: a layer that the framework does not have.
    """
    if isinstance(layer, JzsLayer | SimpleDeepRnnLayer):
        if layout != "keras":
            raise LayoutError(f"only Keras had {layer.kind} layers; their layout is keras")
        return (
            _jzs(layer, following) if isinstance(layer, JzsLayer) else ("W", *(f"U_{age + 1}" for age in range(layer.depth)), "b")
        )
    if not isinstance(layer, RecurrentLayer):
        if layout == "torch" and canonical and layer.kind not in SAME_IN_TORCH:
            raise LayoutError(f"the layout {layout} knows no {layer.kind}; give its arrays as keras has them")
        return tuple(canonical)
    if layout == "keras":
        return _keras(layer, following)
    return _torch(layer) if layout == "torch" else _tensorflow1(layer)


def to_canonical(layer: LayerSpec, layout: Layout, stored: Arrays, forget_bias: float) -> Arrays:
    """`stored`: by the names of `roles`; `forget_bias` is added to a TensorFlow 1 LSTM's. Raises LayoutError."""
    if isinstance(layer, JzsLayer):
        return _jzs_arrays(layer, list(stored.values()))
    if isinstance(layer, SimpleDeepRnnLayer):
        return legacy_layout.simple_deep_rnn(layer, list(stored.values()))
    if isinstance(layer, RecurrentLayer):
        if layout == "torch":
            return layouts.torch_recurrent(layer, stored)
        if layout == "tensorflow1":
            return layouts.tensorflow1_recurrent(layer, stored, forget_bias)
        if f"U_{layer.gates[0]}" in stored:
            return layouts.keras_1_recurrent(layer, stored)
        return layouts.keras_recurrent(layer, list(stored.values()))
    if layout == "torch" and isinstance(layer, DenseLayer):
        return layouts.torch_linear({"weight": stored["kernel"], **({"bias": stored["bias"]} if layer.use_bias else {})})
    return stored


def _keras(layer: RecurrentLayer, following: Sequence[Array]) -> tuple[str, ...]:
    if isinstance(layer, LstmLayer) and (layer.projection_units or layer.peepholes):
        raise LayoutError("keras has no LSTM with a projection or peepholes; the layout tensorflow1 has")
    order = {"lstm": gate_order.LSTM_KERAS_1_ARRAYS, "gru": gate_order.GRU_KERAS_1_ARRAYS}.get(layer.kind)
    if order is not None and len(following) > 1 and following[1].shape == (layer.units, layer.units):
        return tuple(f"{array}_{gate}" for gate in order for array in GATE_TRIPLE)
    return ("kernel", "recurrent_kernel", *(("bias",) if layer.use_bias else ()))


def _jzs(layer: JzsLayer, following: Sequence[Array]) -> tuple[str, ...]:
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


def _jzs_arrays(layer: JzsLayer, stored: Sequence[Array]) -> Arrays:
    inputs, own = len(stored[0]), legacy_layout.JZS_ARRAYS[layer.variant]
    if layer.variant in legacy_layout.PROJECTED and len(stored) == len(own) and inputs != layer.units:
        raise LayoutError(
            f"Keras projected its {inputs} inputs to {layer.units} units by a random matrix, Pmat, which is not among the arrays"
        )
    return legacy_layout.jzs(layer, stored, projection=None)


def _torch(layer: RecurrentLayer) -> tuple[str, ...]:
    if isinstance(layer, LstmLayer) and layer.peepholes:
        raise LayoutError("torch has no LSTM with peepholes; the layout tensorflow1 has")
    if isinstance(layer, GruLayer) and not layer.reset_after:
        raise LayoutError("torch's GRU resets after the product; describe the layer with reset_after: true")
    biases = ("bias_ih", "bias_hh") if layer.use_bias else ()
    projection = ("weight_hr",) if isinstance(layer, LstmLayer) and layer.projection_units else ()
    return ("weight_ih", "weight_hh", *biases, *projection)


def _tensorflow1(layer: RecurrentLayer) -> tuple[str, ...]:
    if not layer.use_bias:
        raise LayoutError("TensorFlow 1's cells always have biases; leave use_bias out")
    if isinstance(layer, GruLayer):
        if layer.reset_after:
            raise LayoutError("TensorFlow 1's GRU resets before the product; leave reset_after out")
        return ("gates_kernel", "gates_bias", "candidate_kernel", "candidate_bias")
    peepholes = ("peephole_f", "peephole_i", "peephole_o") if isinstance(layer, LstmLayer) and layer.peepholes else ()
    projection = ("projection",) if isinstance(layer, LstmLayer) and layer.projection_units else ()
    return ("kernel", "bias", *peepholes, *projection)
