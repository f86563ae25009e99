"""Whether a network has an answer to a row of no time steps: that of a row whose only step is masked.

The frameworks answer such a row in a batch with zeros where a recurrent layer's output stands, and with the state that it began
with. A masked step gives just that wherever each recurrent layer heeds the mask. Decided from the description; knows no values.
"""

from __future__ import annotations

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.mask_sources import mask_sources
from cellserve.models.description.shapes import fewest_steps, infer_shapes, required_steps
from cellserve.models.spec import ModelSpec


def answers_empty_rows(spec: ModelSpec) -> bool:
    """Of the first input, and of what must have as many time steps. Raises InvalidSpec: layers that do not fit together."""
    shapes = infer_shapes(spec)
    first = shapes[spec.inputs[0].name]
    if not first.sequence or required_steps(spec)[0] is not None or fewest_steps(spec)[0] > 1:
        return False
    masks = mask_sources(spec, shapes)
    for layer in spec.layers:
        read = shapes[layer.inputs[0]]
        if not read.sequence or read.step_count.count is not None or read.step_count.source != first.step_count.source:
            continue
        heedless = isinstance(layer, RecurrentLayer) and (layer.inputs[0] not in masks or layer.mask_rule == "reset")
        if heedless or layer.change is not None or layer.takes_rows:
            return False
    return True
