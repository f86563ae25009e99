"""Which sequences among a network's inputs must have equally many time steps, row by row: those that are merged step by step.

All others have lengths of their own, as an encoder's and a decoder's inputs do. Decided from the description alone; knows no
shapes and no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.clock import Clock, ShiftingLayer, change_of
from cellserve.models.spec import (
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    LayerSpec,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
    RepeatVectorLayer,
)


def input_clocks(spec: ModelSpec) -> dict[str, Clock]:
    """By name, of every input that is a sequence."""
    first = {entry.name: number for number, entry in enumerate(spec.inputs) if entry.kind != "vector"}
    groups = {name: {number} for name, number in first.items()}
    clocks = dict.fromkeys(first, Clock())  # of every sequence since its input
    for layer in spec.layers:
        read = [reference for reference in layer.inputs if reference in clocks]
        if not read or not _keeps_time(layer):
            continue
        ahead = clocks[read[0]]
        group = groups[read[0]].union(*(groups[other] for other in _joined(layer, read, clocks)))
        groups = {name: group if own & group else own for name, own in groups.items()} | {layer.name: group}
        clocks[layer.name] = ahead.then(change_of(layer)) if isinstance(layer, ShiftingLayer) else ahead
    return {name: Clock(source=min(groups[name])) for name in first}


def _joined(layer: LayerSpec, read: list[str], clocks: Mapping[str, Clock]) -> list[str]:
    """Of those that are shortened or lengthened otherwise, fixed numbers of steps make a merge's ends meet, not equal ones."""
    return [reference for reference in read if clocks[reference] == clocks[read[0]]] if isinstance(layer, MergeLayer) else []


def _keeps_time(layer: LayerSpec) -> bool:
    """Whether a sequence that goes in comes out as one."""
    if isinstance(layer, RecurrentLayer):
        return layer.return_sequences
    return not isinstance(layer, FlattenLayer | GlobalPooling1dLayer | LastStepLayer | RepeatVectorLayer)
