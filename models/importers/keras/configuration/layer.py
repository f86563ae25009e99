"""One layer of a configuration, whatever release wrote it, and what a person says of a layer whose code is never read.

Knows no other layers and no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.legacy import modernised
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Within


def keras_layer(graph: Graph, raw: Mapping[str, Any], node: int, within: Within) -> KerasLayer:
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
