"""What an iteration of rows side by side gave, in host memory, and which sequence each part of it belongs to.

It knows the rows' places as they were when the iteration was made: sequences may have gone on since. Knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from cellserve.service.engine.batch import Batch
from cellserve.service.engine.running.output_arrays import unfilled

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PaddedOutputs:
    """rows: those of the batch that `outputs` have, in order; outputs: [T, rows, …] or [rows, …] where not `per_step`.

    ending: the rows whose last step was in it; wanted: those of them whose states are `states` [wanted, width].
    """

    batch: Batch
    windows: list[slice]
    rows: Rows[int]
    ending: list[int]
    per_step: list[bool]
    outputs: list[Array]
    wanted: list[int]
    states: Array | None

    def hand_over(self) -> None:
        """Copies, so that no sequence holds what belongs to others, or to the next iteration."""
        sequences, ends = self.batch.sequences, set(self.ending)
        for column, row in enumerate(self.rows):
            sequence = sequences[row]
            if not sequence.outputs:
                sequence.outputs = unfilled(sequence.steps, self.outputs, self.per_step)
            for result, output, per_step in zip(sequence.outputs, self.outputs, self.per_step):
                if per_step:
                    result[self.windows[row]] = output[: self.batch.lengths[row], column]
                elif row in ends:
                    result[...] = output[column]
        if self.states is not None:
            for row, state in zip(self.wanted, self.states):
                sequences[row].state = state.copy()
