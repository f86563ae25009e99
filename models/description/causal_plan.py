"""Which layers run chunk by chunk and which once at the end: decided from the description alone.

A causal network is exactly one forward pass: it can be fed a chunk at a time, and what it answers for the steps so far never
changes. Its `body` is every layer that reads a sequence; its `head` is what turns the vectors at a row's end (last outputs,
final states) into the model's outputs, computed only for rows that end. Knows no torch, no chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

from cellserve.models.description.shapes import infer_shapes
from cellserve.models.spec import LayerSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class CausalPlan:
    """`obstacle`: None for a causal network, else why it is not one (all layers are then body).

    `carried`: the tensors of the body, or the input itself, which the head or the outputs read.
    """

    body: tuple[LayerSpec, ...]
    head: tuple[LayerSpec, ...]
    carried: tuple[str, ...]
    obstacle: str | None

    @property
    def causal(self) -> bool:
        return self.obstacle is None


def causal_plan(spec: ModelSpec) -> CausalPlan:
    """Raises InvalidSpec where the layers do not fit together."""
    shapes = infer_shapes(spec)
    obstacle = _obstacle(spec, {name for name, shape in shapes.items() if shape.sequence})
    if obstacle is not None:
        return CausalPlan(spec.layers, (), spec.outputs, obstacle)
    needed, head = dict.fromkeys(spec.outputs), list[LayerSpec]()
    for layer in reversed(spec.layers):
        if layer.name in needed and not shapes[layer.inputs[0]].sequence:
            head.insert(0, layer)
            needed |= dict.fromkeys(layer.inputs)
    made = {layer.name for layer in head}
    body = tuple(layer for layer in spec.layers if shapes[layer.inputs[0]].sequence)
    return CausalPlan(body, tuple(head), tuple(reference for reference in needed if reference not in made), None)


def _obstacle(spec: ModelSpec, sequences: set[str]) -> str | None:
    if len(spec.inputs) != 1:
        return f"it has {len(spec.inputs)} inputs"
    if spec.inputs[0].name not in sequences:
        return f"its input {spec.inputs[0].name!r} is not a sequence"
    for layer in spec.layers:
        if (why := layer.why_not_causal(over_time=layer.inputs[0] in sequences)) is not None:
            return f"layer {layer.name!r} {why}"
    return None
