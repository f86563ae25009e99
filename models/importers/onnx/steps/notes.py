"""What an import tells of a step model: what was found, what was said, and what requests must say. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from cellserve.models.description.step_model import StepModel
from cellserve.models.importers.onnx.steps.roles import Roles


def notes(found: Roles, spec: StepModel, more: Sequence[str], why_alone: str | None) -> list[str]:
    """One sentence each. more: what was seen on the way. why_alone: as of `alone.py`."""
    held = ", ".join(f"{name} (next: {output})" for name, output in found.states.items())
    takes = "a whole feed" if spec.whole_feeds else "one frame"
    told = [f"It is a step model: each call of the graph takes {takes} and the states {held}.", *more]
    if found.by_order:
        told.append(
            "No name tells which output is the next value of which state: they are taken in their order. Where it is another, "
            "say so in a --description, `states: {input: output}`."
        )
    for name, (context, _) in found.contexts.items():
        told.append(f"Before each call of {name} stand the last {context} values of the one before, zeros at first.")
    for name, array in found.bound.items():
        told.append(f"The graph's input {name} is {array.ravel()[0]}, as the description says.")
    if len(found.fed) > 1:
        brought = ", ".join(f"{name} ({wire})" for wire, name in zip(spec.input_names(), found.fed))
        told.append(f"Each feed brings {brought}.")
    for wire, entry in zip(spec.input_names(), spec.inputs):
        if entry.name in found.asked:
            told.append(
                f"The graph's input {entry.name} is told by each request, as {wire}; `constants` in a --description bind it."
            )
    if why_alone is not None:
        told.append(f"Each row has calls of its own: {why_alone}.")
    return told
