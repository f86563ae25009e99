"""A Keras model's configuration (Sequential or functional) into a ModelSpec, and who claims which stored arrays.

Knows the graph forms of every version; the layers themselves are in layers/, the arrays a store's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from cellserve.models.description.layers.stepwise import ReshapeLayer
from cellserve.models.errors import ImportRefused, InvalidSpec
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey, names_of_keys, parse_calls, parse_keys
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.inputs import declared_shape, input_spec
from cellserve.models.importers.keras.configuration.legacy import MERGE_CLASSES, modernised
from cellserve.models.importers.keras.configuration.masks import Mask, is_operation, operation, require_own_mask
from cellserve.models.importers.keras.configuration.options import TrainingNotes
from cellserve.models.importers.keras.files.tied import FUNCTIONAL, MODELS
from cellserve.models.importers.keras.graph import TOP, Array, ArrayStore, Claim, Graph, KerasLayer, Tensor, Within
from cellserve.models.importers.keras.layers.axes import SAID
from cellserve.models.importers.keras.layers.operations import TENSORFLOW_LAYERS, arithmetic_of
from cellserve.models.importers.keras.layers.plain import BUILDERS, DROPOUTS, MERGES, STEPWISE
from cellserve.models.importers.keras.layers.recurrent import CLASSES, build_bidirectional, build_recurrent
from cellserve.models.importers.keras.layers.within import build_within
from cellserve.models.spec import ModelSpec

WIDTH_KEEPING: Final = frozenset({"Masking", *DROPOUTS})  # what follows them tells how wide the model's input is
ACCEPTED_KEYWORDS: Final = ("training", "mask", "initial_state")

Made = dict[TensorKey, Tensor | Mask]


def translate(
    model: Mapping[str, Any],
    era: Era,
    store: ArrayStore,
    source: str,
    projections: Mapping[str, Array] | None = None,
    lambdas: Mapping[str, str | Mapping[str, Any]] | None = None,
) -> tuple[ModelSpec, list[Claim], tuple[str, ...]]:
    """The network of a model {"class_name": …, "config": …} as saved, its claims on the stored arrays, and notes.

    `projections`: of JZS layers whose weight files lack them, by layer. `lambdas`: what a person says of Lambda layers, likewise.

    Raises ImportRefused naming the layer and the option.
    """
    class_name, config = model.get("class_name"), model.get("config")
    graph = Graph(source, era, store, TrainingNotes(source), projections or {}, lambdas or {})
    try:
        graph.names = frozenset(_names(config))
        outputs = _model(graph, class_name, config)
        if unmet := sorted(graph.lambdas.keys() - graph.met_lambdas):
            raise ImportRefused(source, f"the model has no Lambda layer of this name: {unmet[0]!r}", option="lambdas")
        spec = ModelSpec(inputs=tuple(graph.inputs), layers=tuple(graph.layers), outputs=tuple(one.reference for one in outputs))
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(
            source, f"the configuration does not make a network: {first['msg']}", option=".".join(map(str, first["loc"])) or None
        ) from error
    except InvalidSpec as error:
        raise ImportRefused(source, f"the configuration does not make a network: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ImportRefused(
            source, f"the model's configuration is damaged or of a form not known here ({type(error).__name__}: {error})"
        ) from error
    return spec, graph.claims, graph.notes.sentences()


def _names(config: object) -> Iterator[str]:
    """Of a model's layers, and of its branches'."""
    raws = config.get("layers") if isinstance(config, Mapping) else config
    for raw in raws if isinstance(raws, list) else ():
        if isinstance(raw, Mapping):
            inner = raw.get("config")
            yield str(raw.get("name") or (inner.get("name") if isinstance(inner, Mapping) else None))
            yield from _names(inner)


def _mapping(graph: Graph, config: object) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        raise ImportRefused(graph.source, "the model's configuration holds no layers")
    return config


def _sequential(
    graph: Graph, layers: Sequence[Mapping[str, Any]], within: Within = TOP, given: Sequence[Tensor] = ()
) -> list[Tensor]:
    """`given`: what a model inside another one reads."""
    if not layers:
        raise ImportRefused(graph.source, "the model has no layers")
    first = _keras_layer(graph, layers[0], 0, within)
    rest = list(layers[1:]) if first.class_name == "InputLayer" else list(layers)
    if not rest and not given:
        raise ImportRefused(graph.source, "the model has an input and no layers")
    if given:
        current = list(given)
    elif first.class_name in ("Merge", *MERGES) and graph.era.is_legacy:
        current, rest = _merged_branches(graph, first, layers[0]["config"].get("layers")), rest[1:]
    else:
        name = first.name if first.class_name == "InputLayer" else f"{first.name}_input"
        layers_in_order = [_keras_layer(graph, raw, 0, within) for raw in rest]
        reader = next((one for one in layers_in_order if one.class_name not in WIDTH_KEEPING), layers_in_order[0])
        shape = declared_shape(first.config) or declared_shape(reader.config)
        current = [_add_input(graph, name, shape, _readers(graph, reader))]
    for raw in rest:
        keras = _keras_layer(graph, raw, 0, within)
        if len(current) > 1:
            graph.refuse(
                keras,
                "the layer before it returns several tensors (return_state, or merge_mode None), which Sequential cannot pass on",
            )
        current = _build(graph, keras, current, Call(()), {})
    return current


def _merged_branches(graph: Graph, merge: KerasLayer, branches: object) -> list[Tensor]:
    """Sequential([Merge([branch, branch], mode), …]): how Keras 1 joins several inputs without a functional model."""
    if merge.class_name not in MERGES:
        graph.refuse(merge, _unsupported(merge.class_name))
    if not isinstance(branches, list) or any(one.get("class_name") != "Sequential" for one in branches):
        graph.refuse(merge, "it merges something else than Sequential branches, which is not supported; use a functional model")
    ends = [_sequential(graph, one["config"]) for one in branches]
    if any(len(end) != 1 for end in ends):
        graph.refuse(merge, "one of its branches ends in several tensors")
    options = {name: value for name, value in merge.config.items() if name != "layers"}
    return [BUILDERS[merge.class_name](graph, replace(merge, config=options), [end[0] for end in ends], ())]


def _functional(graph: Graph, config: Mapping[str, Any], within: Within = TOP, given: Sequence[Tensor] = ()) -> list[Tensor]:
    """`given`: what a model inside another one reads."""
    raws: dict[str, Mapping[str, Any]] = {raw.get("name") or raw["config"]["name"]: raw for raw in config["layers"]}
    calls = {name: parse_calls(raw.get("inbound_nodes", []), graph.source, name) for name, raw in raws.items()}
    keys = parse_keys(config["input_layers"], graph.source, "inputs")
    made: Made = dict(zip(keys, given))
    if given and len(given) != len(keys):
        raise ImportRefused(
            graph.source, f"the model inside takes {len(keys)} inputs and is given {len(given)}", layer=within.name
        )
    for key in keys if not given else ():
        readers = [
            reader
            for name, uses in calls.items()
            for node, call in enumerate(uses)
            if _reads(call, key, raws[name])
            for reader in _readers(graph, _keras_layer(graph, raws[name], node, within))
        ]
        made[key] = _add_input(graph, key.layer, declared_shape(raws[key.layer]["config"]), readers)
    first = _first_nodes(config, raws, calls, graph.source)
    waiting = [(name, node, call) for name, uses in calls.items() for node, call in enumerate(uses)]
    while waiting:
        ready = [entry for entry in waiting if all(key in made for key in entry[2].needs())]
        if not ready:
            raise ImportRefused(graph.source, _why_stuck(waiting, raws), layer=waiting[0][0])
        for name, node, call in ready:
            _make(
                graph,
                _keras_layer(graph, raws[name], node, within),
                TensorKey(name, first[name] + node, 0),
                call,
                raws[name],
                made,
            )
        waiting = [entry for entry in waiting if entry not in ready]
    outputs = [made[key] for key in parse_keys(config["output_layers"], graph.source, "outputs")]
    if names := names_of_keys(config["output_layers"]) if within == TOP else []:
        graph.notes.say(f"The model's outputs come by name, in the order {', '.join(names)}.")
    return [_expect_tensor(graph, one, "the model's output") for one in outputs]


def _first_nodes(
    config: Mapping[str, Any], raws: Mapping[str, Mapping[str, Any]], calls: Mapping[str, Sequence[Call]], source: str
) -> dict[str, int]:
    """By layer, the number of its first call that the file lists: in tf.keras, a model's number 0 is its own making."""
    read = [key for uses in calls.values() for call in uses for key in call.needs()]
    read += parse_keys(config["output_layers"], source, "outputs")
    last = {name: max((key.node for key in read if key.layer == name), default=0) for name in raws}
    return {name: int(raw.get("class_name") in MODELS and last[name] >= len(calls[name]) > 0) for name, raw in raws.items()}


def _nested(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """A model inside another: its layers between the others, under its name."""
    within = Within(f"{keras.name}/", f"{keras.spec_name}/", keras.frozen, keras.in_steps)
    return _model(graph, keras.class_name, keras.config, within, inputs)


def _at_each_step(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """TimeDistributed: around a model, or a layer that within a step is another than over time."""
    inside, source = graph.inside(keras, keras.config["layer"]), graph.only(keras, inputs)
    if inside.class_name in STEPWISE:
        return [BUILDERS[keras.class_name](graph, keras, inputs, ())]
    graph.check(keras, "layer")
    if source.masks:
        graph.refuse(keras, f"TimeDistributed({inside.class_name}) of a masked sequence is not supported")
    within = replace(inside, in_steps=True)
    if inside.class_name in MODELS:
        return _nested(graph, within, inputs)
    return [build_within(graph, within, inputs, ("layer",))]


def _model(graph: Graph, class_name: object, config: object, within: Within = TOP, given: Sequence[Tensor] = ()) -> list[Tensor]:
    if class_name == "Sequential":
        return _sequential(graph, config if isinstance(config, list) else _mapping(graph, config)["layers"], within, given)
    if class_name in FUNCTIONAL:
        return _functional(graph, _mapping(graph, config), within, given)
    raise ImportRefused(graph.source, f"the model is of class {class_name!r}; Sequential and functional models are supported")


def _readers(graph: Graph, keras: KerasLayer) -> list[KerasLayer]:
    """The layers that read what is given to this one: itself, or the first ones of a model."""
    if keras.class_name == "TimeDistributed":
        inside = graph.inside(keras, keras.config["layer"])
        return _readers(graph, inside) if inside.class_name in (*MODELS, "Embedding") else [keras]
    if keras.class_name == "Sequential":
        layers = keras.config if isinstance(keras.config, list) else keras.config["layers"]
        rest = [raw for raw in layers if raw.get("class_name") != "InputLayer"]
        return _readers(graph, _keras_layer(graph, rest[0], 0, Within(f"{keras.name}/", "", False))) if rest else [keras]
    if keras.class_name not in FUNCTIONAL:
        return [keras]
    keys, within = parse_keys(keras.config["input_layers"], graph.source, "inputs"), Within(f"{keras.name}/", "", False)
    return [
        reader
        for raw in keras.config["layers"]
        for call in parse_calls(raw.get("inbound_nodes", []), graph.source, keras.name)
        if any(_reads(call, key, raw) for key in keys)
        for reader in _readers(graph, _keras_layer(graph, raw, 0, within))
    ]


def _why_stuck(waiting: Sequence[tuple[str, int, Call]], raws: Mapping[str, Any]) -> str:
    for name, _, call in waiting:
        for key in call.needs():
            if key.layer not in raws:
                return f"its graph is damaged: layer {name!r} reads {key.layer!r}, which is not in the file"
    names = ", ".join(dict.fromkeys(name for name, _, _ in waiting))
    return f"its graph is cyclic or damaged: each of {names} waits for another of them, so none can be computed first"


def _reads(call: Call, key: TensorKey, raw: Mapping[str, Any]) -> bool:
    """Whether the input is this layer's data; the comparison that makes a mask does not count."""
    return key in call.needs() and not is_operation(raw)


def _make(graph: Graph, keras: KerasLayer, key: TensorKey, call: Call, raw: Mapping[str, Any], made: Made) -> None:
    if (arithmetic := arithmetic_of(raw, call)) is not None and not any(isinstance(made[one], Mask) for one in call.needs()):
        tensors = {one: _expect_tensor(graph, made[one], f"an input of {keras.name!r}") for one in call.needs()}
        made[key] = arithmetic(graph, keras, call, tensors)
        return
    if is_operation(raw) or any(isinstance(made[one], Mask) for one in call.inputs):
        made[key] = operation(graph, keras, [made[one] for one in call.inputs], call.constants)
        return
    inputs = [_expect_tensor(graph, made[one], f"an input of layer {keras.name!r}") for one in call.inputs]
    for index, tensor in enumerate(_build(graph, keras, inputs, call, made)):
        made[replace(key, index=index)] = tensor


def _build(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], call: Call, made: Made) -> list[Tensor]:
    if keras.class_name in TENSORFLOW_LAYERS:
        graph.refuse(keras, "this operation of TensorFlow in the model's own code is not supported; write it as a standard layer")
    for keyword, value in call.keywords.items():
        if keyword not in ACCEPTED_KEYWORDS and value not in (None, False):
            graph.refuse(keras, f"it is called with the argument {keyword!r}, which is not supported")
    require_own_mask(graph, keras, inputs, call.keywords.get("mask"), made)
    initial = [
        _expect_tensor(graph, made[key], "an initial state") for key in _states(graph, keras, call.keywords.get("initial_state"))
    ]
    if graph.era.forgets_masks_beside_states and initial and call.keywords.get("mask") is None:
        keras = replace(keras, given_masks=False)
    try:
        if keras.class_name in CLASSES and not keras.in_steps:
            return build_recurrent(graph, keras, inputs[:1], [*inputs[1:], *initial])
        if keras.class_name == "Bidirectional" and not keras.in_steps:
            return build_bidirectional(graph, keras, inputs[:1], [*inputs[1:], *initial])
        if keras.class_name in MODELS:
            return _nested(graph, keras, inputs)
        if keras.in_steps:
            return [build_within(graph, keras, inputs)]
        if keras.class_name == "TimeDistributed":
            return _at_each_step(graph, keras, inputs)
        if keras.class_name in SAID:
            return [SAID[keras.class_name](graph, keras, inputs, ())]
        if keras.class_name not in BUILDERS:
            graph.refuse(keras, _unsupported(keras.class_name))
        return [BUILDERS[keras.class_name](graph, keras, inputs, ())]
    except KeyError as error:
        graph.refuse(keras, f"its configuration lacks the option {error}; the file is damaged")
    except ValidationError as error:
        first = error.errors()[0]
        graph.refuse(keras, f"its configuration makes no layer: {first['msg']}", ".".join(map(str, first["loc"])) or None)


def _unsupported(class_name: str) -> str:
    if class_name == "Merge":
        return f"only the modes {', '.join(MERGE_CLASSES)} of Merge are supported"
    if class_name == "Lambda":
        return (
            "a Lambda layer holds code, which is never run; say in a --description what it does, `lambdas: {its name: last_step}`"
            " (or squeeze, mean, max, identity, or a layer of Keras, {class_name: Reshape, target_shape: [-1, 4]}), and hold the "
            "import against the model's own answers with --expect; or save the model with standard layers"
        )
    known = ", ".join(sorted([*BUILDERS, *CLASSES, "Bidirectional"]))
    return f"layers of class {class_name} are not supported yet, nor are custom layers; the supported ones are {known}"


def _states(graph: Graph, keras: KerasLayer, value: Any) -> list[TensorKey]:
    if value is None:
        return []
    keys = value if isinstance(value, list) else [value]
    if not all(isinstance(key, TensorKey) for key in keys):
        graph.refuse(
            keras,
            "its initial state is a constant of the code; only states that are tensors of the model are supported",
            "initial_state",
        )
    return keys


def _expect_tensor(graph: Graph, value: Tensor | Mask, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise ImportRefused(graph.source, f"{what} is a mask, which is not supported")
    return value


def _keras_layer(graph: Graph, raw: Mapping[str, Any], node: int, within: Within) -> KerasLayer:
    config = raw.get("config") or {}
    named = config if isinstance(config, Mapping) else {}  # a Sequential of Keras 1 and 2 is a bare list
    local = str(raw.get("name") or named.get("name") or raw.get("class_name"))
    registered = raw.get("registered_name")
    class_name = str(registered) if isinstance(registered, str) and ">" in registered else str(raw.get("class_name"))
    if isinstance(config, Mapping):
        class_name, config = modernised(class_name, config, graph.era)
    spec_name = within.spec_name + local
    spec_name = spec_name if node == 0 else graph.free(f"{spec_name}_call_{node}")
    name = within.name + local
    if class_name == "Lambda" and name in graph.lambdas:
        class_name, config = _said_of(graph, name, graph.lambdas[name])
    return KerasLayer(class_name, name, config, spec_name, around_frozen=within.frozen, in_steps=within.in_steps)


def _said_of(graph: Graph, name: str, said: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The layer that a person says a Lambda is."""
    graph.met_lambdas.add(name)
    graph.notes.say(f"{name}: its code was not read; it is taken for {said}, as the description says.")
    if isinstance(said, str):
        return said, {}
    if "class_name" not in said:
        raise ImportRefused(graph.source, "a layer of Keras is {class_name: …, its options …}", layer=name, option="lambdas")
    return str(said["class_name"]), {option: value for option, value in said.items() if option != "class_name"}


def _add_input(graph: Graph, name: str, shape: tuple[int | None, ...] | None, readers: Sequence[KerasLayer]) -> Tensor:
    entry, features = input_spec(graph, name, shape, readers)
    graph.inputs.append(entry)
    source = Tensor(entry.name, sequence=entry.kind != "vector")
    if len(features) < 2:
        return source
    axes = ", ".join(map(str, features))
    graph.notes.say(
        f"The input {name}, [batch, time, {axes}], is served with its features side by side, [batch, time, {entry.width}]."
    )
    layer = ReshapeLayer(name=graph.free(f"{name}_axes"), inputs=(entry.name,), features=features)
    return graph.add(layer, sequence=True)
