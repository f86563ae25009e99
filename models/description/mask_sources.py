"""Whose mask a sequence carries, where anybody heeds it: decided from the description alone.

A mask is made by an input, a Masking layer, an Embedding, or a merge of different ones, and travels unchanged through every layer
that works step by step, and unreversed through reversals. So one stored mask serves all the sequences that carry it. Knows no
passes and no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.spec import LayerSpec, ModelSpec


def mask_sources(spec: ModelSpec, shapes: Mapping[str, TensorShape]) -> dict[str, str]:
    """By sequence, the tensor that made its mask; without those whose mask changes no number from there on."""
    sources = {entry.name: entry.name for entry in spec.inputs[:1] if shapes[entry.name].sequence}
    for layer in spec.layers:
        if shapes[layer.name].sequence and (source := _source(layer, sources)) is not None:
            sources[layer.name] = source
    heeded = _heeded(spec, sources)
    return {reference: source for reference, source in sources.items() if reference in heeded}


def _source(layer: LayerSpec, sources: Mapping[str, str]) -> str | None:
    met = {sources[reference] for reference in layer.inputs if reference in sources}
    match layer.mask_flow:
        case "ends":
            return None
        case "begins":
            return layer.name
        case "any" if not sources.keys() >= set(layer.inputs):
            return None
        case _:
            return layer.name if len(met) > 1 else next(iter(met), None)


def _heeded(spec: ModelSpec, sources: Mapping[str, str]) -> set[str]:
    """The sequences whose mask some layer heeds, there or further on."""
    heeded: set[str] = set()
    for layer in reversed(spec.layers):
        if layer.heeds_mask or (layer.name in heeded and layer.name in sources):
            heeded.update(layer.inputs)
    return heeded
