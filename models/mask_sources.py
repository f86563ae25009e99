"""Whose mask a sequence carries, where anybody heeds it: decided from the description alone.

A mask is made by an input, a Masking layer, an Embedding, or a merge of different ones, and travels unchanged through every layer
that works step by step, and unreversed through reversals. So one stored mask serves all the sequences that carry it. Knows no
passes and no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.clock import ShiftingLayer
from cellserve.models.shapes import TensorShape
from cellserve.models.spec import (
    EmbeddingLayer,
    GlobalPooling1dLayer,
    LayerSpec,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
    RepeatVectorLayer,
)


def mask_sources(spec: ModelSpec, shapes: Mapping[str, TensorShape]) -> dict[str, str]:
    """By sequence, the tensor that made its mask; without those whose mask changes no number from there on."""
    sources = {entry.name: entry.name for entry in spec.inputs[:1] if shapes[entry.name].sequence}
    for layer in spec.layers:
        if shapes[layer.name].sequence and (source := _source(layer, sources)) is not None:
            sources[layer.name] = source
    heeded = _heeded(spec, sources)
    return {reference: source for reference, source in sources.items() if reference in heeded}


def _source(layer: LayerSpec, sources: Mapping[str, str]) -> str | None:
    if isinstance(layer, RepeatVectorLayer | ShiftingLayer):
        return None
    if isinstance(layer, MaskingLayer) or (isinstance(layer, EmbeddingLayer) and layer.mask_zero):
        return layer.name
    if isinstance(layer, MergeLayer):
        met = {sources[reference] for reference in layer.inputs if reference in sources}
        if layer.counts_where == "always" or (layer.counts_where == "any" and not sources.keys() >= set(layer.inputs)):
            return None
        return layer.name if len(met) > 1 else next(iter(met), None)
    return sources.get(layer.inputs[0])


def _heeded(spec: ModelSpec, sources: Mapping[str, str]) -> set[str]:
    """The sequences whose mask some layer heeds, there or further on."""
    heeded: set[str] = set()
    for layer in reversed(spec.layers):
        if _heeds(layer):
            heeded.update(layer.inputs if isinstance(layer, MergeLayer) else layer.inputs[:1])
        elif layer.name in heeded and layer.name in sources:
            heeded.update(layer.inputs)
    return heeded


def _heeds(layer: LayerSpec) -> bool:
    if isinstance(layer, MergeLayer):
        return layer.counts_where == "any" and layer.mode in ("multiply", "maximum", "minimum")
    if isinstance(layer, RecurrentLayer):
        return layer.mask_rule != "ignore"
    return isinstance(layer, GlobalPooling1dLayer) and layer.mode == "average"
