"""Functional models: layers that are called, once or several times, in whatever order their inputs allow.

Knows what none of them does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.building import Build, Made, expect_tensor
from cellserve.models.importers.keras.configuration.calls import Call, TensorKey, names_of_keys, parse_calls, parse_keys
from cellserve.models.importers.keras.configuration.inputs import declared_shape
from cellserve.models.importers.keras.configuration.layer import keras_layer
from cellserve.models.importers.keras.configuration.masks import Mask, is_operation, operation
from cellserve.models.importers.keras.configuration.readers import add_input, readers, reads
from cellserve.models.importers.keras.configuration.weighing import weighed
from cellserve.models.importers.keras.files.tied import FUNCTIONAL, MODELS
from cellserve.models.importers.keras.graph import TOP, Graph, KerasLayer, Tensor, Within
from cellserve.models.importers.keras.operations.table import arithmetic_of, as_operation


def functional(graph: Graph, config: Mapping[str, Any], within: Within, given: Sequence[Tensor], build: Build) -> list[Tensor]:
    """The model's outputs. `given`: what a model inside another one reads. Raises ImportRefused."""
    raws: dict[str, Mapping[str, Any]] = {raw.get("name") or raw["config"]["name"]: raw for raw in config["layers"]}
    calls = {name: parse_calls(raw.get("inbound_nodes", []), graph.source, name) for name, raw in raws.items()}
    keys = parse_keys(config["input_layers"], graph.source, "inputs")
    made: Made = dict(zip(keys, given))
    if given and len(given) != len(keys):
        raise ImportRefused(
            graph.source, f"the model inside takes {len(keys)} inputs and is given {len(given)}", layer=within.name
        )
    for key in keys if not given else ():
        taken_by = [
            reader
            for name, uses in calls.items()
            for node, call in enumerate(uses)
            if reads(call, key, raws[name])
            for reader in readers(graph, keras_layer(graph, raws[name], node, within))
        ]
        made[key] = add_input(graph, key.layer, declared_shape(raws[key.layer]["config"]), taken_by)
    ends = parse_keys(config["output_layers"], graph.source, "outputs")
    first, of_ends = _first_nodes(raws, calls, ends)
    waiting = [(name, node, call) for name, uses in calls.items() for node, call in enumerate(uses)]
    while waiting:
        ready = [entry for entry in waiting if all(key in made for key in entry[2].needs())]
        if not ready:
            raise ImportRefused(graph.source, _why_stuck(waiting, raws), layer=waiting[0][0])
        for name, node, call in ready:
            _make(
                graph,
                build,
                keras_layer(graph, raws[name], node, within),
                TensorKey(name, first[name] + node, 0),
                call,
                raws[name],
                made,
            )
        waiting = [entry for entry in waiting if entry not in ready]
    outputs = [made[replace(key, node=key.node - of_ends.get(key.layer, 0) + first.get(key.layer, 0))] for key in ends]
    if names := names_of_keys(config["output_layers"]) if within == TOP else []:
        graph.notes.say(f"The model's outputs come by name, in the order {', '.join(names)}.")
    return [expect_tensor(graph, one, "the model's output") for one in outputs]


def _first_nodes(
    raws: Mapping[str, Mapping[str, Any]], calls: Mapping[str, Sequence[Call]], ends: Sequence[TensorKey]
) -> tuple[dict[str, int], dict[str, int]]:
    """By layer, the number of its first call that the file lists, where layers read it and where it is an output of the model.

    In tf.keras, a model's number 0 is its own making. In Keras 3 it is so of Functional models, and among the outputs alone.
    """
    read = [key for uses in calls.values() for call in uses for key in call.needs()]
    if not any(isinstance(node, Mapping) for raw in raws.values() for node in raw.get("inbound_nodes", [])):
        both = _counted_from([*read, *ends], raws, calls)
        return both, both
    made_first = {key.layer for key in ends if raws.get(key.layer, {}).get("class_name") in FUNCTIONAL}
    made_first -= {key.layer for key in ends if key.node == 0}
    return _counted_from(read, raws, calls), {name: int(name in made_first) for name in raws}


def _counted_from(
    read: Sequence[TensorKey], raws: Mapping[str, Mapping[str, Any]], calls: Mapping[str, Sequence[Call]]
) -> dict[str, int]:
    last = {name: max((key.node for key in read if key.layer == name), default=0) for name in raws}
    return {name: int(raw.get("class_name") in MODELS and last[name] >= len(calls[name]) > 0) for name, raw in raws.items()}


def _why_stuck(waiting: Sequence[tuple[str, int, Call]], raws: Mapping[str, Any]) -> str:
    for name, _, call in waiting:
        for key in call.needs():
            if key.layer not in raws:
                return f"its graph is damaged: layer {name!r} reads {key.layer!r}, which is not in the file"
    names = ", ".join(dict.fromkeys(name for name, _, _ in waiting))
    return f"its graph is cyclic or damaged: each of {names} waits for another of them, so none can be computed first"


def _make(graph: Graph, build: Build, keras: KerasLayer, key: TensorKey, call: Call, raw: Mapping[str, Any], made: Made) -> None:
    given = [made[one] for one in call.needs()]
    if (weighing := weighed(graph, as_operation(raw, keras, call), given)) is not None:
        made[key] = weighing
        return
    if (arithmetic := arithmetic_of(raw, call)) is not None and not any(isinstance(one, Mask) for one in given):
        tensors = {one: expect_tensor(graph, made[one], f"an input of {keras.name!r}") for one in call.needs()}
        made[key] = arithmetic(graph, keras, call, tensors)
        return
    if is_operation(raw) or any(isinstance(made[one], Mask) for one in call.inputs):
        read = [made[one] for one in call.inputs]
        made[key] = operation(graph, keras, [one for one in read if isinstance(one, Tensor | Mask)], call.constants)
        return
    inputs = [expect_tensor(graph, made[one], f"an input of layer {keras.name!r}") for one in call.inputs]
    for index, tensor in enumerate(build(graph, keras, inputs, call, made)):
        made[replace(key, index=index)] = tensor
