"""A network told to a person or a script: inputs, outputs, layers with shapes and parameters, passes. Needs no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellserve.models.description.described import Described, inputs_of, obstacle_of, parameters_of, shapes_of
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_model import StepModel
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TRAFFIC_WORDS, TrafficKind
from cellserve.models.passes.cutting import cut
from cellserve.service.cli.output import print_table


def as_data(spec: Described) -> dict[str, Any]:
    shapes, counts, obstacle = shapes_of(spec), parameters_of(spec), obstacle_of(spec)
    return {
        "inputs": {wire: _shape(shapes[name]) for wire, name in zip(spec.input_names(), inputs_of(spec), strict=True)},
        "outputs": {wire: _shape(shapes[name]) for wire, name in zip(spec.output_names(), spec.outputs, strict=True)},
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "inputs": list(layer.inputs),
                "output": _shape(shapes[layer.name]),
                "parameters": counts[layer.name],
            }
            for layer in spec.layers
        ],
        "states": {columns.key: columns.width for columns in StateLayout.of(spec).public},
        "parameters": counts.total(),
        "causal": obstacle is None,
        "passes": _passes(spec, obstacle),
    }


def _passes(spec: Described, obstacle: str | None) -> str:
    if isinstance(spec, StepModel):
        return "one call of its graph for each feed" if spec.whole_feeds else "one call of its graph for each time step"
    if obstacle is None:
        return "one forward pass, advanced chunk by chunk"
    count = len(cut(spec).passes)
    return f"{count} pass{'es' * (count > 1)} over whole sequences, advanced chunk by chunk, because {obstacle}"


def print_network(data: dict[str, Any]) -> None:
    """The tables of `as_data`."""
    rows = [(layer["name"], layer["kind"], layer["output"], f"{layer['parameters']:,}") for layer in data["layers"]]
    print_table(
        "Layers",
        ("layer", "kind", "output", "#parameters"),
        [*(("inputs", name, shape, "") for name, shape in data["inputs"].items()), *rows],
    )


def print_implementations(implementations: dict[str, str]) -> None:
    print_table("Implementations", ("implementation", "state"), list(implementations.items()))


def agreement(differences: Mapping[str, float]) -> str:
    """Who else gave a version's answers, and how nearly; empty if nobody did."""
    return " and ".join(f"{who} (off by at most {difference:.1e})" for who, difference in differences.items())


def print_choices(by_device: Mapping[str, Mapping[TrafficKind, str]]) -> None:
    """What `auto` chooses here, once a server has measured it."""
    for device, choices in by_device.items():
        rows = [(TRAFFIC_WORDS[kind], choices[kind]) for kind in TRAFFIC_KINDS if kind in choices]
        print_table(f"Measured to be fastest here, on {device}", ("traffic", "implementation"), rows)


def _shape(shape: TensorShape) -> str:
    dimensions: list[object] = ["batch"]
    if shape.sequence:
        dimensions.append("time" if shape.time_steps is None else shape.time_steps)
    return f"[{', '.join(map(str, (*dimensions, *shape.features)))}]"
