"""Which steps of a sequence count, as graphs compute it: those of which not every feature is one number. Knows no loops.

So Keras's Masking is exported. What is known of such a tensor is what it asks of which sequence; that sequence without the steps
that do not count is a Masking layer, and a loop that passes over them heeds its mask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.description.layers.stepwise import EmbeddingLayer, MaskingLayer
from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.node import Node, axis_number
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Part, Value


@dataclass(frozen=True, slots=True)
class Steps(Flow):
    """Its parts are those of the sequence that is asked.

    `value`: the number that all features of a step are where it does not count. `counts`: whether it is true where it does;
    else where it does not. `each`: feature by feature, before they are taken together. `counted`: it is how many of them are
    another number.
    """

    value: float = 0.0
    counts: bool = False
    each: bool = False
    counted: bool = False


def translated(node: Node) -> list[Value] | None:
    """None: it is about no such tensor. Raises NotTranslated: it does something else with one."""
    if node.operator == "Equal":
        return _equal(node)
    if not any(isinstance(one, Steps) for one in node.given) or node.operator in MOVING:
        return None
    if node.operator not in OPERATORS:
        raise NotTranslated("it computes with which steps count")
    return [OPERATORS[node.operator](node)]


def _equal(node: Node) -> list[Value] | None:
    flows = [one for one in node.given if isinstance(one, Flow)]
    known = [one.constant for one in node.given if isinstance(one, Known)]
    if len(flows) != 1 or flows[0].ids or isinstance(flows[0], Steps) or len(known) != 1 or known[0] is None:
        return None
    flow = flows[0]
    if known[0].size != 1 or not flow.sequence or len(flow.parts) != 1 or flow.shares or flow.weights is not None:
        return None
    return [Steps(flow.parts, flow.axes, flow.features, value=float(known[0].item()), each=True)]


def _same(node: Node) -> Steps:
    return _asked(node)


def _not(node: Node) -> Steps:
    steps = _asked(node)
    if steps.counted:
        raise NotTranslated("it turns a number of features round")
    return replace(steps, counts=not steps.counts)


def _any(node: Node) -> Steps:
    """Over features that are otherwise: whether one of them is."""
    return _taken_together(node, counts=True, counted=node.operator == "ReduceSum")


def _all(node: Node) -> Steps:
    """Over features that are equal: whether all of them are."""
    return _taken_together(node, counts=False, counted=False)


def _taken_together(node: Node, *, counts: bool, counted: bool) -> Steps:
    steps, named = _asked(node), node.axes("axes", 1)
    rank = len(steps.axes)
    places = {axis_number(place, rank) for place in named or ()}
    over = [one for place in places for one in steps.axes[place]]
    if not steps.each or steps.counts != counts or not places or set(over) != set(steps.features):
        raise NotTranslated("it asks something else of which steps count")
    kept = bool(node.attributes.get("keepdims", 1))
    axes = tuple(() if place in places else one for place, one in enumerate(steps.axes) if kept or place not in places)
    return replace(steps, axes=axes, features=(), each=False, counted=counted)


def _positive(node: Node) -> Steps:
    steps, bound = _asked(node), node.constant(1, "bound")
    if not steps.counted or bound.size != 1 or not 0 <= float(bound.item()) < 1:
        raise NotTranslated("it compares which steps count with a number")
    return replace(steps, counted=False)


def _times(node: Node) -> Value:
    """The sequence without the steps that do not count; nothing, where it is multiplied by 0."""
    steps = next(one for one in node.given if isinstance(one, Steps))
    other = next((one for one in node.given if not isinstance(one, Steps)), None)
    if isinstance(other, Known) and other.fill == 0:
        return Known(tuple(np.zeros(steps.shape(trial), np.float32) for trial in range(node.trials)))
    return _without_others(node, steps, other)


def _where(node: Node) -> Value:
    steps, chosen, rest = (node.input(place) for place in range(3))
    if not isinstance(steps, Steps):
        raise NotTranslated("it takes which steps count for a number")
    kept, dropped = (chosen, rest) if steps.counts else (rest, chosen)
    if not isinstance(dropped, Known) or dropped.fill != 0:
        raise NotTranslated("what does not count becomes something else than zero")
    return _without_others(node, replace(steps, counts=True), kept)


def _without_others(node: Node, steps: Steps, flow: Value | None) -> Flow:
    plain = isinstance(flow, Flow) and flow.parts == steps.parts and not steps.each and not steps.counted
    if not plain or not isinstance(flow, Flow) or not steps.counts or flow.axis_of("time") != steps.axis_of("time"):
        raise NotTranslated("it multiplies with which steps of another sequence count")
    made = masking(node.draft, flow.parts[0], steps.value, node.name)
    return replace(flow, parts=(made,), shared=False)


def masking(draft: Draft, part: Part, value: float, wanted: str) -> Part:
    """The Masking layer behind it, which is made where there is none."""
    for layer in draft.layers:
        if isinstance(layer, MaskingLayer) and layer.inputs == (part.reference,) and layer.mask_value == value:
            return Part(layer.name, part.width)
    return Part(draft.add(MaskingLayer, wanted, [part.reference], mask_value=value), part.width)


def _asked(node: Node) -> Steps:
    steps = node.input(0)
    if not isinstance(steps, Steps):
        raise NotTranslated("it takes which steps count for a number")
    return steps


def unturned(draft: Draft, reference: str) -> tuple[str, bool]:
    """(what it is a reversal of, or itself; whether it is turned round)."""
    turned = False
    layers = {layer.name: layer for layer in draft.layers}
    while isinstance(layer := layers.get(reference), ReverseLayer):
        reference, turned = layer.inputs[0], not turned
    return reference, turned


def begun(draft: Draft, mask: Flow, read: str, wanted: str) -> str:
    """What a layer reads instead of `read`, so that it meets this mask: the same, where the mask travels there by itself.

    mask: Steps, or a function of ids. Raises NotTranslated: it is the mask of something else.
    """
    asked, _ = unturned(draft, mask.parts[0].reference)
    if isinstance(mask, Steps):
        if read == asked:
            return masking(draft, Part(asked, mask.parts[0].width), mask.value, f"{wanted}_mask").reference
        if not any(isinstance(layer, MaskingLayer) and layer.inputs == (asked,) for layer in draft.layers):
            raise NotTranslated("it passes over steps of which another sequence tells that they do not count")
        return read
    for place, layer in enumerate(draft.layers):
        if isinstance(layer, EmbeddingLayer) and layer.inputs == (asked,):
            ids = np.arange(layer.vocabulary)
            if mask.of is None or not np.array_equal(np.asarray(mask.of(ids)).astype(bool), ids != 0):
                raise NotTranslated("it passes over other ids than 0")
            draft.layers[place] = layer.model_copy(update={"mask_zero": True})
            return read
    raise NotTranslated("it passes over steps of ids that nothing looks up")


MOVING: Final = frozenset({"Identity", "Transpose", "Squeeze", "Unsqueeze", "ReverseSequence", "Slice", "Shape"})
OPERATORS: Final[Mapping[str, Callable[[Node], Value]]] = {
    "Cast": _same,
    "Not": _not,
    **dict.fromkeys(("ReduceSum", "ReduceMax"), _any),
    **dict.fromkeys(("ReduceMin", "ReduceProd"), _all),
    "Greater": _positive,
    "Mul": _times,
    "Where": _where,
}
