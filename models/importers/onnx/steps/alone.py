"""Whether rows of one call leave each other alone: seen by running a few together and each by itself. Knows no descriptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.onnx.steps.reading import StepFile
from cellserve.models.importers.onnx.steps.roles import Roles
from cellserve.models.importers.onnx.steps.trial import NotRun, Trial

Array = npt.NDArray[Any]
ROWS: Final = 3
BOUND: Final = 1e-5
"""Of |difference| over (1 + 5 |value|), which rounding stays below and a common range of quantisation does not."""


def why_alone(file: StepFile, found: Roles, trial: Trial, steps: int, wanted: Collection[str]) -> str | None:
    """Why each row must have calls of its own, as the end of a sentence; None if rows may share them.

    steps: at which it runs. wanted: the outputs that count.
    """
    if not found.batched:
        return "the file fixes the number of rows"
    if file.mixes is not None:
        return f"{file.mixes} takes one range for all rows of a call"
    try:
        given = trial.inputs(ROWS, steps)
        together = _run(trial, found, given, slice(None))
        for row in range(ROWS):
            alone = _run(trial, found, given, slice(row, row + 1))
            for name in wanted:
                axis = row_axis(together[name].shape, alone[name].shape)
                if axis is None:
                    return f"its output {name!r} has no axis of rows"
                if not near(alone[name], np.take(together[name], [row], axis)):
                    return f"its output {name!r} depends on what else is in a call"
    except NotRun:
        return "it does not run with several rows"
    return None


def row_axis(several: Sequence[int], one: Sequence[int]) -> int | None:
    """Of the shapes of an output for ROWS rows and for one: the axis of rows. None: there is none, or more than that changes."""
    if len(several) != len(one):
        return None
    places = [place for place, (many, single) in enumerate(zip(several, one)) if many != single]
    if len(places) != 1 or (several[places[0]], one[places[0]]) != (ROWS, 1):
        return None
    return places[0]


def _run(trial: Trial, found: Roles, given: Mapping[str, Array], rows: slice) -> dict[str, Array]:
    cut = {}
    for name, array in given.items():
        before = (slice(None),) * found.axes[name].index("batch")
        cut[name] = np.ascontiguousarray(array[(*before, rows)])
    return trial.run(cut)


def near(one: Array, other: Array) -> bool:
    """Whether they are the same but for rounding; False where their shapes differ."""
    if one.shape != other.shape:
        return False
    left, right = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same = (np.isnan(left) & np.isnan(right)) | (left == right)
    return bool(np.all(same | (np.abs(left - right) <= BOUND * (1 + 5 * np.abs(left)))))
