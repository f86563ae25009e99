"""Cuts any network into passes over time: decided from the description alone.

Whatever needs more than the steps so far waits for a later pass: a row from its end (a backward layer, a reversal), a window that
reaches ahead, a vector that is known at a row's end. Forward and backward layers over the same stored sequence share a pass: one
reads it onward, the other turned. Every layer runs in one pass, but for the cheap ones between the inputs and the first that
matters (embeddings, maskings): each pass makes what it needs of these again, so that they are not stored. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.mask_sources import mask_sources
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.step_counts import ONWARD, StepCount
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.passes.plan import Pass, PassPlan, Start, View
from cellserve.models.passes.views import views
from cellserve.models.spec import LayerSpec, ModelSpec

_AN_ID = 2  # eight bytes


def cut(spec: ModelSpec) -> PassPlan:
    """Raises InvalidSpec where the layers do not fit together."""
    shapes = infer_shapes(spec)
    masks = mask_sources(spec, shapes)
    layers = _needed(spec)
    cheap = _cheap(spec, layers, shapes)
    groups = _groups([layer for layer in layers if layer.name not in cheap], spec, shapes, set(cheap))
    drafts = [_draft(step_count, members, spec, shapes, masks, cheap) for step_count, members in groups]
    passes = _with_lifetimes(drafts, spec, shapes)
    stored = [reference for one in passes for reference in (*one.stored, *one.stored_whole)]
    return PassPlan(
        passes,
        masks,
        {reference: _numbers(shapes[reference]) for reference in stored},
        {reference: shapes[reference].step_count for reference in stored},
    )


def _numbers(shape: TensorShape) -> int:
    """Of four bytes, at each step."""
    return prod(shape.features) * (_AN_ID if shape.ids or not shape.features else 1)


def _needed(spec: ModelSpec) -> list[LayerSpec]:
    """Every recurrent layer (its final state is asked for), and what they and the outputs read."""
    needed, kept = {_owner(reference) for reference in spec.outputs}, list[LayerSpec]()
    for layer in reversed(spec.layers):
        if layer.name in needed or layer.state_widths:
            needed.update(map(_owner, layer.inputs))
            kept.append(layer)
    return kept[::-1]


def _cheap(spec: ModelSpec, layers: Iterable[LayerSpec], shapes: Mapping[str, TensorShape]) -> dict[str, LayerSpec]:
    """Layers without products that work step by step on the inputs alone, and that nobody needs whole."""
    flattened = {reference for layer in layers if layer.needs_fixed_steps or layer.takes_rows for reference in layer.inputs}
    flattened |= {reference for layer in layers for reference in layer.inputs[layer.whole_inputs]}
    sources = {entry.name for entry in spec.inputs if shapes[entry.name].sequence}
    cheap: dict[str, LayerSpec] = {}
    for layer in layers:
        alone = layer.name not in flattened and layer.name not in spec.outputs and sources.issuperset(layer.inputs)
        if alone and layer.cheap and shapes[layer.name].sequence:
            cheap[layer.name] = layer
            sources.add(layer.name)
    return cheap


def _groups(
    layers: Iterable[LayerSpec], spec: ModelSpec, shapes: Mapping[str, TensorShape], cheap: set[str]
) -> list[tuple[StepCount, list[LayerSpec]]]:
    """The layers of each pass: as early as what they read allows, sequences of different step counts apart."""
    levels = dict.fromkeys({entry.name for entry in spec.inputs} | cheap, -1)
    whole = {layer.name for layer in layers if layer.takes_rows}
    places: dict[tuple[int, StepCount], list[LayerSpec]] = {}
    vectors: list[LayerSpec] = []
    for layer in layers:
        if _over_vectors(layer, shapes):
            levels[layer.name] = max(levels[_owner(reference)] for reference in layer.inputs)
            vectors.append(layer)
        else:
            step_count = shapes[layer.name if shapes[layer.name].sequence else layer.inputs[0]].step_count
            levels[layer.name] = _level(layer, step_count, shapes, levels, whole)
            places.setdefault((levels[layer.name], step_count), []).append(layer)
    if not places or any(levels[layer.name] < 0 for layer in vectors):
        places[-1, StepCount(1)] = []
    ordered = sorted(places.items(), key=lambda place: place[0][0])
    index = {layer.name: number for number, (_, members) in enumerate(ordered) for layer in members}
    for layer in vectors:
        index[layer.name] = max(index.get(_owner(reference), 0) for reference in layer.inputs)
        ordered[index[layer.name]][1].append(layer)
    return [(step_count, members) for (_, step_count), members in ordered]


def _level(
    layer: LayerSpec, step_count: StepCount, shapes: Mapping[str, TensorShape], levels: Mapping[str, int], whole: set[str]
) -> int:
    level = 0
    for reference in layer.inputs:
        shape, below = shapes[reference], levels[_owner(reference)]
        waits = layer.order != ONWARD or layer.inputs[layer.whole_inputs] or reference in whole
        beside = shape.sequence and not waits and shape.step_count == step_count
        level = max(level, below if beside else below + 1)
    return level


def _over_vectors(layer: LayerSpec, shapes: Mapping[str, TensorShape]) -> bool:
    """Whether it runs once for a row that ends: it reads vectors, or a whole sequence at once."""
    return layer.needs_fixed_steps or layer.takes_rows or not (shapes[layer.inputs[0]].sequence or layer.repeats)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A pass before anybody knows who reads what it makes."""

    step_count: StepCount
    views: tuple[View, ...]
    entries: tuple[LayerSpec, ...]
    body: tuple[LayerSpec, ...]
    pooled: tuple[LayerSpec, ...]
    head: tuple[LayerSpec, ...]
    starts: tuple[Start, ...]

    @property
    def gathered(self) -> tuple[str, ...]:
        """The sequences that steps of this pass read whole."""
        return tuple(dict.fromkeys(reference for layer in self.entries for reference in layer.inputs[layer.whole_inputs]))

    @property
    def stepwise(self) -> tuple[LayerSpec, ...]:
        return (*self.entries, *self.body)

    def flattened(self, shapes: Mapping[str, TensorShape]) -> list[str]:
        """The sequences that the head reads whole, but for those that it makes itself."""
        own = {layer.name for layer in self.head}
        read = [reference for layer in self.head for reference in layer.inputs]
        return [reference for reference in read if shapes[reference].sequence and reference not in own]

    def vectors_read(self, shapes: Mapping[str, TensorShape]) -> list[str]:
        """Those of earlier passes, and those that the head reads of this one."""
        repeated = [layer.inputs[0] for layer in self.entries if layer.repeats]
        over = [reference for layer in self.head for reference in layer.inputs if not shapes[reference].sequence]
        return [*repeated, *(start.vector for start in self.starts), *over]


def _draft(
    step_count: StepCount,
    members: Sequence[LayerSpec],
    spec: ModelSpec,
    shapes: Mapping[str, TensorShape],
    masks: Mapping[str, str],
    cheap: Mapping[str, LayerSpec],
) -> _Draft:
    head = tuple(layer for layer in members if _over_vectors(layer, shapes))
    over_time = [layer for layer in members if not _over_vectors(layer, shapes)]
    waits = [bool(layer.order != ONWARD or layer.repeats or layer.inputs[layer.whole_inputs]) for layer in over_time]
    return _Draft(
        step_count,
        views(over_time, shapes, masks, cheap, {entry.name for entry in spec.inputs}),
        tuple(_alone(layer) for layer, entry in zip(over_time, waits) if entry),
        tuple(_alone(layer) for layer, entry in zip(over_time, waits) if not entry and not layer.sums_up),
        tuple(layer for layer in over_time if layer.sums_up),
        head,
        tuple(
            Start(layer.name, state, vector) for layer in over_time for state, vector in zip(layer.state_widths, layer.inputs[1:])
        ),
    )


def _alone(layer: LayerSpec) -> LayerSpec:
    """A recurrent layer as a pass runs it: onward over what it is given, its states put in before its first step."""
    if not isinstance(layer, RecurrentLayer):
        return layer
    return layer.model_copy(update={"go_backwards": False, "inputs": layer.inputs[:1]})


def _with_lifetimes(drafts: Sequence[_Draft], spec: ModelSpec, shapes: Mapping[str, TensorShape]) -> tuple[Pass, ...]:
    last_read: dict[str, int] = {}
    last_mask: dict[str, int] = {}
    for index, draft in enumerate(drafts):
        read = [reference for view in draft.views for reference in view.references]
        whole = [*draft.flattened(shapes), *draft.gathered]
        last_read.update(dict.fromkeys([*read, *whole, *draft.vectors_read(shapes)], index))
        last_mask.update(dict.fromkeys([mask for view in draft.views for mask in view.masks], index))
    passes: list[Pass] = []
    stored, stored_masks = list[str](), list[str]()
    for index, draft in enumerate(drafts):
        made = [name for layer in draft.stepwise for name in _made(layer)]
        vectors = [name for name in made if not shapes[name].sequence]
        whole = [layer.name for layer in draft.head if shapes[layer.name].sequence]
        ends = [*vectors, *(layer.name for layer in (*draft.pooled, *draft.head) if layer.name not in whole)]
        flattened = draft.flattened(shapes)
        new = [
            name
            for name in made
            if shapes[name].sequence and (name in spec.outputs or name in flattened or last_read.get(name, -1) > index)
        ]
        new_whole = [name for name in whole if name in spec.outputs or last_read.get(name, -1) > index]
        new_masks = [name for name in made if last_mask.get(name, -1) > index]
        stored, stored_masks = stored + new + new_whole, stored_masks + new_masks
        passes.append(
            Pass(
                draft.step_count,
                draft.views,
                draft.entries,
                draft.body,
                draft.pooled,
                draft.head,
                draft.starts,
                vectors=tuple(dict.fromkeys(name for name in draft.vectors_read(shapes) if name not in ends)),
                whole=tuple(dict.fromkeys(flattened)),
                gathered=draft.gathered,
                carried=tuple(name for name in vectors if name in last_read or name in spec.outputs),
                kept=tuple(name for name in ends if name in spec.outputs or last_read.get(name, -1) > index),
                stored=tuple(new),
                stored_whole=tuple(new_whole),
                stored_masks=tuple(new_masks),
                freed=tuple(name for name in stored if last_read.get(name) == index and name not in spec.outputs),
                freed_masks=tuple(name for name in stored_masks if last_mask[name] == index),
            )
        )
    return tuple(passes)


def _made(layer: LayerSpec) -> list[str]:
    return [layer.name, *(f"{layer.name}:{state}" for state in layer.state_widths)]


def _owner(reference: str) -> str:
    return reference.partition(":")[0]
