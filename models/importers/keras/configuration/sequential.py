"""Sequential models: layers one after the other, and the branches that Keras 1 merges. Knows no calls and no nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.building import Build, unsupported
from cellserve.models.importers.keras.configuration.calls import Call
from cellserve.models.importers.keras.configuration.inputs import declared_shape
from cellserve.models.importers.keras.configuration.layer import keras_layer
from cellserve.models.importers.keras.configuration.readers import add_input, readers
from cellserve.models.importers.keras.graph import TOP, Graph, KerasLayer, Tensor, Within
from cellserve.models.importers.keras.layers.plain import BUILDERS, DROPOUTS, MERGES

WIDTH_KEEPING: Final = frozenset({"Masking", *DROPOUTS})  # what follows them tells how wide the model's input is


def sequential(
    graph: Graph, layers: Sequence[Mapping[str, Any]], within: Within, given: Sequence[Tensor], build: Build
) -> list[Tensor]:
    """Its last layer's outputs. `given`: what a model inside another one reads. Raises ImportRefused."""
    if not layers:
        raise ImportRefused(graph.source, "the model has no layers")
    first = keras_layer(graph, layers[0], 0, within)
    rest = list(layers[1:]) if first.class_name == "InputLayer" else list(layers)
    if not rest and not given:
        raise ImportRefused(graph.source, "the model has an input and no layers")
    if given:
        current = list(given)
    elif first.class_name in ("Merge", *MERGES) and graph.era.is_legacy:
        current, rest = _merged_branches(graph, build, first, layers[0]["config"].get("layers")), rest[1:]
    else:
        name = first.name if first.class_name == "InputLayer" else f"{first.name}_input"
        layers_in_order = [keras_layer(graph, raw, 0, within) for raw in rest]
        reader = next((one for one in layers_in_order if one.class_name not in WIDTH_KEEPING), layers_in_order[0])
        shape = declared_shape(first.config) or declared_shape(reader.config)
        current = [add_input(graph, name, shape, readers(graph, reader))]
    for raw in rest:
        keras = keras_layer(graph, raw, 0, within)
        if len(current) > 1:
            graph.refuse(
                keras,
                "the layer before it returns several tensors (return_state, or merge_mode None), which Sequential cannot pass on",
            )
        current = build(graph, keras, current, Call(()), {})
    return current


def _merged_branches(graph: Graph, build: Build, merge: KerasLayer, branches: object) -> list[Tensor]:
    """Sequential([Merge([branch, branch], mode), …]): how Keras 1 joins several inputs without a functional model."""
    if merge.class_name not in MERGES:
        graph.refuse(merge, unsupported(merge.class_name))
    if not isinstance(branches, list) or any(one.get("class_name") != "Sequential" for one in branches):
        graph.refuse(merge, "it merges something else than Sequential branches, which is not supported; use a functional model")
    ends = [sequential(graph, one["config"], TOP, (), build) for one in branches]
    if any(len(end) != 1 for end in ends):
        graph.refuse(merge, "one of its branches ends in several tensors")
    options = {name: value for name, value in merge.config.items() if name != "layers"}
    return [BUILDERS[merge.class_name](graph, replace(merge, config=options), [end[0] for end in ends], ())]
