"""One layer of a configuration, whatever release wrote it. Knows no other layers and no arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellserve.models.importers.keras.configuration.legacy import modernised
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Within


def keras_layer(graph: Graph, raw: Mapping[str, Any], node: int, within: Within) -> KerasLayer:
    """The layer in its call number `node`. Raises ImportRefused: what a person says of it makes no layer."""
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
    return graph.as_said(KerasLayer(class_name, name, config, spec_name, around_frozen=within.frozen, in_steps=within.in_steps))
