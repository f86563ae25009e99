"""How many arrays a recurrent layer of Keras has in its file, and what makes canonical ones of them. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cellserve.models.importers import legacy_layout
from cellserve.models.importers.keras_graph import Convert, Graph, KerasLayer
from cellserve.models.spec import GruLayer, JzsLayer, LstmLayer, RecurrentLayer, SimpleDeepRnnLayer


def stored_arrays(
    graph: Graph, keras: KerasLayer, layer: RecurrentLayer, part: Sequence[str], offset: int
) -> tuple[int, Convert | None]:
    """From `offset` on in the layer's list. None: as Keras 2 has them."""
    joined = 2 + layer.use_bias
    if not graph.era.is_legacy:
        return joined, None
    shapes = graph.store.shapes(keras.name, tuple(part))[offset:]
    match layer:
        case JzsLayer():
            own = len(legacy_layout.JZS_ARRAYS[layer.variant])
            convert = partial(legacy_layout.jzs, layer, projection=graph.projections.get(keras.name))
            return own + (len(shapes) == own + 1 and layer.variant in legacy_layout.PROJECTED), convert
        case SimpleDeepRnnLayer():
            return 2 + layer.depth, partial(legacy_layout.simple_deep_rnn, layer)
        case LstmLayer() | GruLayer() if len(shapes) > 1 and shapes[1] == (layer.units, layer.units):
            return 12 if isinstance(layer, LstmLayer) else 9, partial(legacy_layout.gate_by_gate, layer)
        case _:
            return joined, None
