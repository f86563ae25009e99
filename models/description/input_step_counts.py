"""Which sequences among a network's inputs must have equally many time steps, row by row: those that are merged step by step.

All others have lengths of their own, as an encoder's and a decoder's inputs do. Decided from the description alone; knows no
shapes and no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.description.step_counts import StepCount
from cellserve.models.spec import ModelSpec


def input_step_counts(spec: ModelSpec) -> dict[str, StepCount]:
    """By name, of every input that is a sequence."""
    first = {entry.name: number for number, entry in enumerate(spec.inputs) if entry.kind != "vector"}
    groups = {name: {number} for name, number in first.items()}
    step_counts = dict.fromkeys(first, StepCount())  # of every sequence since its input
    for layer in spec.layers:
        by_step = [*layer.inputs[:1], *(one for one in layer.inputs[1:] if one not in layer.inputs[layer.whole_inputs])]
        read = [reference for reference in by_step if reference in step_counts]
        if not read or not layer.keeps_time:
            continue
        ahead = step_counts[read[0]]
        group = groups[read[0]].union(*(groups[other] for other in _joined(read, step_counts)))
        groups = {name: group if own & group else own for name, own in groups.items()} | {layer.name: group}
        step_counts[layer.name] = ahead if layer.retimed is None else ahead.then(layer.retimed)
    return {name: StepCount(source=min(groups[name])) for name in first}


def _joined(read: list[str], step_counts: Mapping[str, StepCount]) -> list[str]:
    """Of those that are shortened or lengthened otherwise, fixed numbers of steps make a merge's ends meet, not equal ones."""
    return [reference for reference in read if step_counts[reference] == step_counts[read[0]]]
