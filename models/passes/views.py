"""What the layers of a pass read, and in which order: gathered into one view for each order. Knows no passes and no lifetimes.

A mask is not turned round with its sequence: whoever reads turned and passes its mask on reads that onward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cellserve.models.description.step_counts import ONWARD, TURNED, Order
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.passes.plan import View
from cellserve.models.spec import LayerSpec


def views(
    layers: Sequence[LayerSpec],
    shapes: Mapping[str, TensorShape],
    masks: Mapping[str, str],
    cheap: Mapping[str, LayerSpec],
    inputs: set[str],
) -> tuple[View, ...]:
    """masks: by sequence, the tensor that made its mask. cheap: the layers that are made again from the inputs."""
    here = {layer.name for layer in layers}
    wanted: dict[Order, dict[str, None]] = {}
    wanted_masks: dict[Order, dict[str, None]] = {}
    for layer in layers:
        order = layer.order
        read_by_step = [reference for reference in layer.inputs if reference not in layer.inputs[layer.whole_inputs]]
        read_by_step = read_by_step or list(layer.inputs[:1])  # a sequence that looks at itself
        read = [reference for reference in read_by_step if shapes[reference].sequence and reference not in here]
        wanted.setdefault(order, {}).update(dict.fromkeys(read))
        made = dict.fromkeys(masks[reference] for reference in read if reference in masks)
        if order == ONWARD or (order == TURNED and layer.heeds_mask):
            wanted_masks.setdefault(order, {}).update(made)
        if order == TURNED and layer.name in masks:
            wanted_masks.setdefault(ONWARD, {}).update(made)
    orders = dict.fromkeys([*(order for order, read in wanted.items() if read), *wanted_masks])
    return tuple(
        _view(order, list(wanted.get(order, ())), list(wanted_masks.get(order, ())), masks, cheap, inputs)
        for order in orders
        if wanted.get(order) or wanted_masks.get(order)
    )


def _view(
    order: Order,
    references: Sequence[str],
    made_masks: Sequence[str],
    masks: Mapping[str, str],
    cheap: Mapping[str, LayerSpec],
    inputs: set[str],
) -> View:
    needed = {reference for reference in (*references, *made_masks) if reference in cheap}
    for layer in reversed(list(cheap.values())):
        if layer.name in needed:
            needed.update(layer.inputs)
    fed = [reference for reference in needed if reference in inputs]
    fed_masks = [masks[reference] for reference in fed if reference in masks] if isinstance(order, str) else []
    return View(
        order,
        tuple(dict.fromkeys([*sorted(fed), *(reference for reference in references if reference not in cheap)])),
        tuple(dict.fromkeys([*fed_masks, *(source for source in made_masks if source not in cheap)])),
        tuple(layer for layer in cheap.values() if layer.name in needed),
    )
