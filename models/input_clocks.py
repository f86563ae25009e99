"""Which sequences among a network's inputs must have equally many time steps, row by row: those that are merged step by step.

All others have lengths of their own, as an encoder's and a decoder's inputs do. Decided from the description alone; knows no
shapes and no values.
"""

from __future__ import annotations

from cellserve.models.clock import Clock
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
    groups = {number: {number} for number in first.values()}
    fed_by: dict[str, set[int]] = {name: groups[number] for name, number in first.items()}
    for layer in spec.layers:
        if not _keeps_time(layer):
            continue
        read = layer.inputs if isinstance(layer, MergeLayer) else layer.inputs[:1]
        met = [fed_by[reference] for reference in read if reference in fed_by]
        if not met:
            continue
        joined = set[int]().union(*met)
        for name, group in fed_by.items():
            if group & joined:
                fed_by[name] = joined
        fed_by[layer.name] = joined
    return {name: Clock(source=min(fed_by[name])) for name in first}


def _keeps_time(layer: LayerSpec) -> bool:
    """Whether a sequence that goes in comes out as one."""
    if isinstance(layer, RecurrentLayer):
        return layer.return_sequences
    return not isinstance(layer, FlattenLayer | GlobalPooling1dLayer | LastStepLayer | RepeatVectorLayer)
