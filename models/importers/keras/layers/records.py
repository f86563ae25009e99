"""What Keras has of each kind of recurrent layer: its classes, what each release meant by them, its arrays, and its traps.

One record for each class of our layers. Sources: keras-team/keras layers/recurrent.py, 0.1.0 to 3. Knows no files and no graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import GruLayer, JzsLayer, LstmLayer, SimpleDeepRnnLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.importers.keras.configuration.options import Config
from cellserve.models.importers.keras.graph import Array, Convert, Graph, KerasLayer
from cellserve.models.importers.keras.layers import legacy_layout, listed
from cellserve.models.importers.layout import Listed

Shapes = Sequence[tuple[int, ...]]
NO_STEPS_MISSING: Final = {
    "absent": "the first steps get nothing from those before the beginning",
    "zero": "steps before the beginning count as zeros, of which its inner activation makes 0.5 or so",
}


def _no_traps(layer: Any, config: Config, cudnn: bool, release: str) -> Iterator[str]:
    return iter(())


def _no_stored_traps(layer: Any, shapes: Shapes, pmat_given: bool) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True)
class KerasRecord:
    """make: (graph, layer as written, the options that all have) -> the canonical layer. listed: its arrays, where a list is all.

    cell: the class of its cell in RNN(…); cudnn: that of its twin on a GPU. triples: the order of the gates in files of Keras 0
    and 1, which keep W, U and b for each. legacy: (graph, layer as written, layer, shapes of the arrays that follow) -> how many
    arrays it has in such a file, and what makes canonical ones of them; None: as Keras 2 has them.
    default, default_recurrent: what its activations were where files leave them out, before 0.3.3 and before 2.3.0.
    """

    classes: tuple[str, ...]
    make: Callable[[Graph, KerasLayer, dict[str, Any]], RecurrentLayer]
    listed: Listed
    cell: str | None = None
    cudnn: str | None = None
    triples: GateOrder | None = None
    legacy: Callable[[Graph, KerasLayer, Any, Shapes], tuple[int, Convert]] | None = None
    default: str = "tanh"
    default_recurrent: str | None = "hard_sigmoid"  # None: it has no recurrent activation
    traps: Callable[[Any, Config, bool, str], Iterator[str]] = _no_traps
    stored_traps: Callable[[Any, Shapes, bool], Iterator[str]] = _no_stored_traps


def _lstm(graph: Graph, keras: KerasLayer, common: dict[str, Any]) -> RecurrentLayer:
    return LstmLayer(**common)


def _gru(graph: Graph, keras: KerasLayer, common: dict[str, Any]) -> RecurrentLayer:
    if _is_0_3_0(graph, keras, "takes inner_activation for the candidate"):
        common["activation"] = common["recurrent_activation"]
    return GruLayer(**common, reset_after=keras.class_name == "CuDNNGRU" or bool(keras.config.get("reset_after", False)))


def _simple_rnn(graph: Graph, keras: KerasLayer, common: dict[str, Any]) -> RecurrentLayer:
    multiplies = _is_0_3_0(graph, keras, "multiplies where it should add")
    return SimpleRnnLayer(**common, combine="multiply" if multiplies else "add")


def _jzs(graph: Graph, keras: KerasLayer, common: dict[str, Any]) -> RecurrentLayer:
    return JzsLayer.model_validate({**common, "variant": int(keras.class_name[-1])})


def _simple_deep_rnn(graph: Graph, keras: KerasLayer, common: dict[str, Any]) -> RecurrentLayer:
    missing = "zero" if graph.era.release < (0, 1, 2) else "absent"
    return SimpleDeepRnnLayer.model_validate({**common, "depth": keras.config.get("depth", 3), "missing_steps": missing})


def _is_0_3_0(graph: Graph, keras: KerasLayer, what: str) -> bool:
    """The release with two bugs, which models trained on it have learned to live with."""
    if graph.era.release != (0, 3, 0):
        return False
    graph.notes.say(
        f"{keras.name}: {keras.class_name} of exactly Keras 0.3.0 {what}; the model was trained so, and is served so."
    )
    return True


def _legacy_jzs(graph: Graph, keras: KerasLayer, layer: JzsLayer, shapes: Shapes) -> tuple[int, Convert]:
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


def _legacy_simple_deep_rnn(graph: Graph, keras: KerasLayer, layer: SimpleDeepRnnLayer, shapes: Shapes) -> tuple[int, Convert]:
    return 2 + layer.depth, partial(legacy_layout.simple_deep_rnn, layer)


def _gru_traps(layer: GruLayer, config: Config, cudnn: bool, release: str) -> Iterator[str]:
    if "reset_after" not in config and not cudnn:
        yield "no reset_after is written down: the reset gate acts before the product, not after it as today's default is"


def _simple_deep_rnn_traps(layer: SimpleDeepRnnLayer, config: Config, cudnn: bool, release: str) -> Iterator[str]:
    yield f"as in {release}, {NO_STEPS_MISSING[layer.missing_steps]}"


def _stored_jzs_traps(layer: JzsLayer, shapes: Shapes, pmat_given: bool) -> Iterator[str]:
    if layer.variant in legacy_layout.PROJECTED:
        stored = pmat_given or len(shapes) > len(legacy_layout.JZS_ARRAYS[layer.variant])
        where = "" if stored else ", which is the identity where both are as wide"
        yield f"its inputs are multiplied by the matrix Pmat{where}"


RECORDS: Final[Mapping[type[Layer], KerasRecord]] = {
    LstmLayer: KerasRecord(
        ("LSTM",),
        _lstm,
        listed.joined(gate_order.LSTM_KERAS_1_ARRAYS),
        cell="LSTMCell",
        cudnn="CuDNNLSTM",
        triples=gate_order.LSTM_KERAS_1_ARRAYS,
    ),
    GruLayer: KerasRecord(
        ("GRU",),
        _gru,
        listed.joined(gate_order.GRU_KERAS_1_ARRAYS),
        cell="GRUCell",
        cudnn="CuDNNGRU",
        triples=gate_order.GRU_KERAS_1_ARRAYS,
        default="sigmoid",
        traps=_gru_traps,
    ),
    SimpleRnnLayer: KerasRecord(
        ("SimpleRNN",), _simple_rnn, listed.joined(), cell="SimpleRNNCell", default="sigmoid", default_recurrent=None
    ),
    JzsLayer: KerasRecord(
        ("JZS1", "JZS2", "JZS3"),
        _jzs,
        listed.JZS,
        legacy=_legacy_jzs,
        default_recurrent="sigmoid",
        stored_traps=_stored_jzs_traps,
    ),
    SimpleDeepRnnLayer: KerasRecord(
        ("SimpleDeepRNN",),
        _simple_deep_rnn,
        listed.SIMPLE_DEEP_RNN,
        legacy=_legacy_simple_deep_rnn,
        default="sigmoid",
        traps=_simple_deep_rnn_traps,
    ),
}
CUDNN: Final[Mapping[str, str]] = {one.cudnn: one.classes[0] for one in RECORDS.values() if one.cudnn is not None}
CELLS: Final[Mapping[str, str]] = {one.cell: one.classes[0] for one in RECORDS.values() if one.cell is not None}
BY_CLASS: Final[Mapping[str, KerasRecord]] = {
    name: one for one in RECORDS.values() for name in (*one.classes, *((one.cudnn,) if one.cudnn is not None else ()))
}


def stored_arrays(graph: Graph, keras: KerasLayer, layer: RecurrentLayer, shapes: Shapes) -> tuple[int, Convert | None]:
    """How many arrays a layer has in its file, and what makes canonical ones of them; None: they are as Keras 2 has them."""
    record, joined = RECORDS[type(layer)], 2 + layer.use_bias
    if not graph.era.is_legacy:
        return joined, None
    if record.legacy is not None:
        return record.legacy(graph, keras, layer, shapes)
    if count := listed.count_of_triples(layer, shapes, record.triples):
        return count, partial(_gate_by_gate, layer)
    return joined, None


def _gate_by_gate(layer: RecurrentLayer, stored: Sequence[Array]) -> dict[str, Array]:
    return legacy_layout.gate_by_gate(layer, stored, RECORDS[type(layer)].triples or ())
