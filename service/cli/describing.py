"""A network told to a person or a script: inputs, outputs, layers with shapes and parameters, passes. Needs no weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

from cellserve.models.description.causal_plan import causal_plan
from cellserve.models.description.shapes import expected_weights, infer_shapes
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TRAFFIC_WORDS, TrafficKind
from cellserve.models.passes.cutting import cut
from cellserve.models.spec import ModelSpec
from cellserve.service.cli.output import print_table


def parameters(spec: ModelSpec) -> Counter[str]:
    """Numbers that each layer holds."""
    counts: Counter[str] = Counter()
    for name, shape in expected_weights(spec).items():
        counts[name.rpartition(".")[0]] += prod(shape)
    return counts


def as_data(spec: ModelSpec) -> dict[str, Any]:
    shapes, counts, steps = infer_shapes(spec), parameters(spec), causal_plan(spec)
    return {
        "inputs": {wire: _shape(shapes[entry.name]) for wire, entry in zip(spec.input_names(), spec.inputs, strict=True)},
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
        "parameters": counts.total(),
        "causal": steps.causal,
        "passes": _passes(spec, steps.obstacle),
    }


def _passes(spec: ModelSpec, obstacle: str | None) -> str:
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
