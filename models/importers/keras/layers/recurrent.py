"""Keras's recurrent layers as canonical ones: LSTM, GRU, SimpleRNN, their CuDNN twins, RNN(cells) and Bidirectional.

Sources: keras-team/keras layers/recurrent.py and layers/wrappers.py, 0.1.0 to 3. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.importers.keras.configuration.options import Config, check_options
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Place, Tensor
from cellserve.models.importers.keras.layers.activations import activation_of
from cellserve.models.importers.keras.layers.cells import cells, direction_places
from cellserve.models.importers.keras.layers.records import BY_CLASS, CUDNN, stored_arrays
from cellserve.models.importers.keras.layers.traps import stored_traps, traps
from cellserve.models.importers.keras.mask_logic import EVERYTHING

CLASSES: Final = (*BY_CLASS, "RNN")
MERGE_MODES: Final = {"concat": "concat", "sum": "sum", "mul": "multiply", "ave": "average"}
OPTIONS: Final = (
    "units", "activation", "recurrent_activation", "use_bias", "return_sequences", "return_state", "go_backwards", "stateful",
    "unroll",
    "reset_after", "zero_output_for_mask", "time_major", "cell", "depth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pass:
    """One direction of a recurrent layer: its output, and its final states in Keras's order."""

    output: Tensor
    states: tuple[Tensor, ...]
    arrays: int  # how many stored arrays it took
    return_state: bool


def build_recurrent(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], initial: Sequence[Tensor]) -> list[Tensor]:
    """All outputs: the sequence or last output, then with return_state the states."""
    made = _pass(graph, keras, keras.spec_name, inputs[0], initial, Place(keras.name), force_zero=False)
    return [made.output, *(made.states if made.return_state else ())]


def build_bidirectional(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], initial: Sequence[Tensor]) -> list[Tensor]:
    """Two passes over one input; the backward one's sequence turned round before the merge."""
    check_options("Bidirectional", keras.name, keras.config, ("layer", "backward_layer", "merge_mode"), graph.notes)
    forward, backward = _directions(graph, keras)
    sequences = bool(forward.config.get("return_sequences", False))
    force_zero = sequences and graph.era.bidirectional_zeroes_masked_sequences
    half = len(initial) // 2
    name, x = keras.spec_name, inputs[0]
    there, back_there = direction_places(keras, forward, backward)
    ahead = _pass(graph, forward, graph.free(f"{name}_forward"), x, initial[:half], there, force_zero=force_zero)
    back_there = replace(back_there, offset=ahead.arrays)
    behind = _pass(graph, backward, graph.free(f"{name}_backward"), x, initial[half:], back_there, force_zero=force_zero)
    back = behind.output
    if sequences:
        turned = ReverseLayer(name=graph.free(f"{name}_backward_in_time"), inputs=(back.reference,))
        back = graph.add(turned, sequence=True, masks=back.masks)
    states = (*ahead.states, *behind.states) if ahead.return_state else ()
    mode = keras.config.get("merge_mode", "concat")
    if mode is None:
        return [ahead.output, back, *states]
    if mode not in MERGE_MODES:
        graph.refuse(keras, f"the merge mode {mode!r} is not known; Keras has {', '.join(MERGE_MODES)} and None", "merge_mode")
    merge = MergeLayer.model_validate(
        {"name": name, "inputs": (ahead.output.reference, back.reference), "mode": MERGE_MODES[mode]}
    )
    return [graph.add(merge, sequence=sequences, masks=ahead.output.masks), *states]


def first_place(graph: Graph, keras: KerasLayer) -> Place:
    """Where the arrays that a recurrent or Bidirectional layer multiplies its input by are."""
    if keras.class_name != "Bidirectional":
        return cells(graph, keras, Place(keras.name))[0].place
    forward, backward = _directions(graph, keras)
    return cells(graph, forward, direction_places(keras, forward, backward)[0])[0].place


def _directions(graph: Graph, keras: KerasLayer) -> tuple[KerasLayer, KerasLayer]:
    forward = graph.inside(keras, keras.config["layer"])
    if forward.class_name not in CLASSES:
        graph.refuse(
            keras,
            f"Bidirectional({forward.class_name}) is not supported; recurrent layers may be inside: {', '.join(CLASSES)}",
        )
    own = keras.config.get("backward_layer")
    if not own:
        turned = {**forward.config, "go_backwards": not forward.config.get("go_backwards", False)}
        return forward, replace(forward, config=turned)
    if own.get("class_name") not in CLASSES:
        graph.refuse(keras, f"a backward layer of class {own.get('class_name')} is not supported", "backward_layer")
    backward = graph.inside(keras, own)
    if bool(forward.config.get("return_sequences")) != bool(backward.config.get("return_sequences")):
        graph.refuse(keras, "its two layers disagree about return_sequences", "backward_layer")
    return forward, backward


def _pass(
    graph: Graph,
    keras: KerasLayer,
    name: str,
    x: Tensor,
    initial: Sequence[Tensor],
    place: Place,
    *,
    force_zero: bool,
) -> Pass:
    """One layer, or one for each cell of RNN([cell, cell]): a stack of cells is a stack of layers that all return sequences.

    Backwards, the first one turns the sequence for all; where there is a mask, which nothing turns, each turns it and back.
    """
    options = keras.config
    check_options(keras.class_name, keras.name, options, OPTIONS, graph.notes)
    if options.get("time_major"):
        graph.refuse(keras, "time-major inputs are not supported; save the model with time_major=False", "time_major")
    stack = cells(graph, keras, place)
    if len(stack) > 1 and (initial or options.get("return_state")):
        graph.refuse(keras, "states of stacked cells as inputs or outputs are not supported; use one layer for each cell", "cell")
    taken, backwards = 0, bool(options.get("go_backwards", False))
    output, layer = x, None
    for position, cell in enumerate(stack):
        last = position == len(stack) - 1
        there = replace(cell.place, offset=place.offset + taken)
        inferred = _inferred(graph, keras, cell.keras, there)
        one = replace(keras, class_name=cell.keras.class_name, config={**options, **inferred})
        if position and backwards and x.masks:
            turned = ReverseLayer(name=graph.free(f"{name}_{position - 1}_in_time"), inputs=(output.reference,))
            output = graph.add(turned, sequence=True, masks=x.masks)
        layer = _layer(
            graph,
            one,
            name if last else graph.free(f"{name}_{position}"),
            (output, *initial),
            return_sequences=bool(options.get("return_sequences", False)) or not last,
            go_backwards=backwards and (position == 0 or bool(x.masks)),
            force_zero=force_zero,
        )
        count, convert = stored_arrays(graph, keras, layer, graph.store.shapes(there) if graph.era.is_legacy else ())
        graph.claim_at(there, layer, count, cudnn=keras.class_name in CUDNN, convert=convert)
        shapes = graph.store.shapes(there)[:count]
        _note_traps(graph, one, layer, shapes, masked=bool(x.masks), turned_back=place.part == ("backward_layer",))
        taken += count
        output = graph.add(layer, sequence=layer.return_sequences, masks=x.masks if layer.return_sequences else EVERYTHING)
    states = tuple(Tensor(f"{name}:{state}", sequence=False) for state in (layer.state_widths if layer else ()))
    return Pass(output, states, taken, bool(options.get("return_state", False)))


def _layer(
    graph: Graph,
    keras: KerasLayer,
    name: str,
    inputs: Sequence[Tensor],
    *,
    return_sequences: bool,
    go_backwards: bool,
    force_zero: bool,
) -> RecurrentLayer:
    config, era, record = keras.config, graph.era, BY_CLASS[keras.class_name]
    common: dict[str, Any] = {
        "name": name,
        "inputs": tuple(one.reference for one in inputs),
        "units": config["units"],
        "activation": _activation(graph, keras, "activation", era.default_activation(record.default)),
        "use_bias": config.get("use_bias", True),
        "return_sequences": return_sequences,
        "go_backwards": go_backwards,
        "mask_rule": "ignore"
        if not keras.given_masks
        else era.mask_rule(
            unroll=bool(config.get("unroll", False)),
            zero_output_for_mask=force_zero or bool(config.get("zero_output_for_mask", False)),
            return_sequences=return_sequences,
        ),
        "stateful": bool(config.get("stateful", False)),
    }
    if record.default_recurrent is not None:
        default = "sigmoid" if keras.class_name in CUDNN else era.default_recurrent_activation(record.default_recurrent)
        common["recurrent_activation"] = _activation(graph, keras, "recurrent_activation", default)
    return record.make(graph, keras, common)


def _note_traps(
    graph: Graph, keras: KerasLayer, layer: RecurrentLayer, shapes: Sequence[tuple[int, ...]], *, masked: bool, turned_back: bool
) -> None:
    found = traps(layer, keras.class_name, keras.config, graph.era, masked=masked, turned_back=turned_back)
    for trap in (*found, *stored_traps(layer, keras.class_name, shapes, pmat_given=keras.name in graph.projections)):
        graph.notes.met(trap, keras.name)


def _activation(graph: Graph, keras: KerasLayer, option: str, default: str) -> Any:
    return activation_of(keras.config.get(option, default), graph.era, graph.source, keras.name, option)


def _inferred(graph: Graph, keras: KerasLayer, cell: KerasLayer, place: Place) -> Config:
    """A cell's options. Keras 2.0.9 saved cells without any: then the units follow from the arrays, the rest are its defaults."""
    if keras.class_name != "RNN":
        return {}
    check_options(f"{cell.class_name} cell", keras.name, cell.config, OPTIONS, graph.notes)
    if "units" in cell.config:
        return cell.config
    shapes = graph.store.shapes(place)
    if len(shapes) < 2 or len(shapes[1]) != 2:
        graph.refuse(keras, "the cell says neither its units nor has it arrays that tell", "cell")
    graph.notes.say(
        f"The cells of layer {keras.name} are saved bare: units are read from the arrays, the rest is Keras's default."
    )
    return {**cell.config, "units": shapes[1][0]}
