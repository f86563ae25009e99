"""A model's inputs and the layers that read them, which tell how wide they are. Knows no arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellserve.models.description.layers.stepwise import ReshapeLayer
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey, parse_calls, parse_keys
from cellserve.models.importers.keras.configuration.inputs import input_spec
from cellserve.models.importers.keras.configuration.layer import keras_layer
from cellserve.models.importers.keras.configuration.masks import is_operation
from cellserve.models.importers.keras.files.tied import FUNCTIONAL, MODELS
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor, Within


def readers(graph: Graph, keras: KerasLayer) -> list[KerasLayer]:
    """The layers that read what is given to this one: itself, or the first ones of a model."""
    if keras.class_name == "TimeDistributed":
        inside = graph.inside(keras, keras.config["layer"])
        return readers(graph, inside) if inside.class_name in (*MODELS, "Embedding") else [keras]
    if keras.class_name == "Sequential":
        layers = keras.config if isinstance(keras.config, list) else keras.config["layers"]
        rest = [raw for raw in layers if raw.get("class_name") != "InputLayer"]
        return readers(graph, keras_layer(graph, rest[0], 0, Within(f"{keras.name}/", "", False))) if rest else [keras]
    if keras.class_name not in FUNCTIONAL:
        return [keras]
    keys, within = parse_keys(keras.config["input_layers"], graph.source, "inputs"), Within(f"{keras.name}/", "", False)
    return [
        reader
        for raw in keras.config["layers"]
        for call in parse_calls(raw.get("inbound_nodes", []), graph.source, keras.name)
        if any(reads(call, key, raw) for key in keys)
        for reader in readers(graph, keras_layer(graph, raw, 0, within))
    ]


def reads(call: Call, key: TensorKey, raw: Mapping[str, Any]) -> bool:
    """Whether the input is this layer's data; the comparison that makes a mask does not count."""
    return key in call.needs() and not is_operation(raw)


def add_input(graph: Graph, name: str, shape: tuple[int | None, ...] | None, readers: Sequence[KerasLayer]) -> Tensor:
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
