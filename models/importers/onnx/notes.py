"""What an import tells of an ONNX file's inputs and of its outputs that are states. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.onnx.graph_inputs import GraphInput, Reading
from cellserve.models.importers.onnx.values import Flow, Given

Array = npt.NDArray[Any]


def notes_on(
    inputs: Sequence[GraphInput],
    states: Mapping[str, Flow],
    starts: Mapping[str, Given],
    keys: Mapping[str, str],
    options: Mapping[str, Array],
) -> list[str]:
    """One sentence each. `states`: of outputs that are final states; `keys`: of recurrent layers, by name."""
    notes: list[str] = []
    for entry in inputs:
        if entry.role == "state":
            held = ", ".join(f"state.{key}" for key, given in starts.items() if given.name == entry.name)
            notes.append(f"The graph's input {entry.name} is {held or 'read by no layer'}: zeros unless a request gives it.")
        elif entry.role == "lengths":
            notes.append(f"The graph's input {entry.name} is the rows' own lengths, which every request tells.")
        elif entry.role == "unused":
            notes.append(f"The graph's input {entry.name} is read by nothing that its outputs need.")
        elif entry.role == "option":
            notes.append(f"The graph's input {entry.name} is {np.ravel(options[entry.name])[0]}, as the description says.")
    for name, flow in states.items():
        held = ", ".join(f"state.{keys[part.state[0]]}.{part.state[1]}" for part in flow.parts if part.state is not None)
        notes.append(f"The graph's output {name} is {held}, the state that a reply can hold.")
    return notes


def on_examples(inputs: Sequence[GraphInput], reading: Reading) -> list[str]:
    """Where the sizes that inputs declare are those of an example."""
    if reading.steps is not None:
        return []
    declared = {entry.name: entry.dims[layout.index("t")] for entry in inputs if "t" in (layout := reading.layouts[entry.name])}
    return [
        f"Its input {name} had {steps} time steps when it was exported; any number is served."
        for name, steps in declared.items()
        if steps is not None
    ]
