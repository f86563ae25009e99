"""What is said to a person of a TensorFlow 1 checkpoint's import: every assumption, and what was left aside. Reads no files."""

from __future__ import annotations

from itertools import pairwise

from cellserve.models.importers.description import Description
from cellserve.models.importers.names import listed
from cellserve.models.importers.tensorflow1.order import Arrangement
from cellserve.models.importers.tensorflow1.variables import Sorted

SHOWN = 3


def assumptions(arrangement: Arrangement, description: Description) -> list[str]:
    """Of what the description leaves open, what was taken for granted, and how to say otherwise."""
    cells = [cell for recurrence in arrangement.recurrences for cells in recurrence.passes for cell in cells]
    lstms = [cell for cell in cells if cell.kind == "lstm"]
    biased = [cell for cell in lstms if cell.has_forget_bias]
    said: list[str] = []
    if arrangement.embedding is not None and description.order is None:
        said.append(f"{arrangement.embedding.name} is taken for an embedding before the cells: the model reads ids.")
    if biased and description.forget_bias is None:
        said.append(
            "TensorFlow adds forget_bias at run time and a checkpoint does not hold it: its default 1.0 was added to the bias of "
            f"{listed((cell.scope for cell in biased), SHOWN)}; `forget_bias: 0` in a --description says otherwise."
        )
    if description.activation is None:
        said.append("A checkpoint does not record the cells' activation: tanh is assumed; `activation: relu` says otherwise.")
    if lstms and description.cell_clip is None and description.proj_clip is None:
        said.append("A checkpoint does not record clips: none is assumed; `cell_clip` and `proj_clip` say otherwise.")
    if any(len(cells) > 1 for recurrence in arrangement.recurrences for cells in recurrence.passes):
        said.append("Wrappers without variables, such as ResidualWrapper, leave no trace in a checkpoint: none is assumed.")
    for before, after in pairwise(arrangement.recurrences):
        if description.order is None:
            said.append(f"The output sequence of {before.name} is taken to be the input of {after.name}.")
    if any(len(recurrence.passes) == 2 for recurrence in arrangement.recurrences) and description.merge is None:
        said.append(
            "The outputs of the two directions are assumed to be joined, forward first; `merge: none`, sum, multiply or average "
            "says otherwise."
        )
    if any(cell.kind != "simple_rnn" for cell in cells):
        said.append(
            "TensorFlow's gates (i, j, f, o of an LSTM; r, u and the candidate of a GRU) were put into cellserve's order."
        )
    return said + _about_head(arrangement, description)


def _about_head(arrangement: Arrangement, description: Description) -> list[str]:
    if not arrangement.head:
        return ["There is no matrix after the cells: the output is the last one's whole sequence."]
    names = ", ".join(matrix.name for matrix in arrangement.head)
    said = []
    if description.head is None:
        said.append(f"{names} is assumed to act on the last step of the recurrence; `head: sequence` applies it to every step.")
    if description.head_activations is None:
        said.append(f"A checkpoint does not record functions: none is assumed after {names}; `head_activations` names them.")
    return said


def ignored(found: Sorted) -> list[str]:
    said = []
    if found.slots:
        said.append(f"Ignored, as training alone needs them: {listed(found.slots, SHOWN)}.")
    if found.averages:
        said.append(
            f"Ignored: the moving averages {listed(found.averages, SHOWN)}; the variables themselves are served. To serve the "
            "averages, save the model with them restored into its variables."
        )
    return said
