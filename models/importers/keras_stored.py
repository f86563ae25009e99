"""How many arrays a recurrent layer of Keras has in its file, and what makes canonical ones of them. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cellserve.models.importers import legacy_layout
from cellserve.models.importers.keras_graph import Convert, Graph, KerasLayer, Place
from cellserve.models.recurrent_layer import RecurrentLayer
from cellserve.models.recurrent_layers import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer


def stored_arrays(graph: Graph, keras: KerasLayer, layer: RecurrentLayer, place: Place) -> tuple[int, Convert | None]:
    """None: as Keras 2 has them."""
    joined = 2 + layer.use_bias
    if not graph.era.is_legacy:
        return joined, None
    shapes = graph.store.shapes(place)
    match layer:
        case JzsLayer():
            return _jzs(graph, keras, layer, shapes)
        case SimpleDeepRnnLayer():
            return 2 + layer.depth, partial(legacy_layout.simple_deep_rnn, layer)
        case LstmLayer() | GruLayer() if len(shapes) > 1 and shapes[1] == (layer.units, layer.units):
            return 12 if isinstance(layer, LstmLayer) else 9, partial(legacy_layout.gate_by_gate, layer)
        case _:
            return joined, None


def _jzs(graph: Graph, keras: KerasLayer, layer: JzsLayer, shapes: Sequence[tuple[int, ...]]) -> tuple[int, Convert]:
    own, projected = len(legacy_layout.JZS_ARRAYS[layer.variant]), layer.variant in legacy_layout.PROJECTED
    stored, given = projected and len(shapes) > own, graph.projections.get(keras.name)
    inputs = shapes[0][0] if shapes and len(shapes[0]) == 2 else layer.units
    if projected and not stored and given is None and inputs != layer.units:
        option = f"`projections: {{{keras.name}: [[…], …]}}`"
        graph.refuse(
            keras,
            f"JZS{layer.variant} on {inputs} inputs with {layer.units} units multiplies its inputs by a random matrix, which "
            "Keras before 0.2.0 did not save with the weights. Where the model still runs, print layer.Pmat.get_value() and give "
            f"it as {option} in a --description; without it nobody can tell what the model answers",
        )
    return own + stored, partial(legacy_layout.jzs, layer, projection=given)
