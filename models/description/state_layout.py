"""Where each recurrent layer's state lies in one flat row of float32: the one place that knows the columns.

A row holds, for each recurrent layer in topological order, its named states (h, c …) and one `seen` column: 1 once the
layer has met an unmasked step in this call, which is all that the "previous emitted output" of the mask rules needs (it is
then h, and before that zeros or the carried h). `seen` is never on the wire. Of a step model it holds the graph's states in
order, each with all its numbers in the order of its axes; where float32 does not have all numbers of a type, each is cut into 16
bits. Knows no torch, no rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_model import LIMB_BITS, NARROW, StepModel, StepState
from cellserve.models.spec import ModelSpec

SEEN = "seen"
_NUMBER: Final = np.dtype(np.float32)


@dataclass(frozen=True, slots=True)
class StateColumns:
    """One named state of one recurrent layer: columns start … start+width of a row."""

    layer_index: int
    layer_name: str
    state: str
    start: int
    width: int

    @property
    def key(self) -> str:
        """Name without the wire's prefix: "0.h"."""
        return f"{self.layer_index}.{self.state}"

    @property
    def public(self) -> bool:
        return self.state != SEEN


@dataclass(frozen=True, slots=True)
class StateLayout:
    """`start`: the row that a sequence begins with; None: zeros."""

    columns: tuple[StateColumns, ...]
    width: int
    start: npt.NDArray[np.float32] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, spec: ModelSpec | StepModel) -> StateLayout:
        if isinstance(spec, StepModel):
            return _of_step_model(spec)
        columns: list[StateColumns] = []
        start = 0
        for index, layer in enumerate(spec.recurrent_layers):
            for state, width in (*layer.state_widths.items(), (SEEN, 1)):
                columns.append(StateColumns(index, layer.name, state, start, width))
                start += width
        return cls(tuple(columns), start)

    @property
    def public(self) -> tuple[StateColumns, ...]:
        return tuple(columns for columns in self.columns if columns.public)

    @property
    def row_bytes(self) -> int:
        return _NUMBER.itemsize * self.width

    def first_rows(self, rows: int) -> npt.NDArray[np.float32]:
        """[rows, width], as sequences begin."""
        if self.start is None:
            return np.zeros((rows, self.width), np.float32)
        return np.tile(self.start, (rows, 1))


def as_columns(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """[rows, numbers] of any type as columns of a row: each number as it is, or cut in 16 bits, the lowest first."""
    if values.dtype.name in NARROW:
        return values.astype(np.float32)
    limbs = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view("<u2")
    return limbs.astype(np.float32)


def from_columns(columns: npt.NDArray[np.float32], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """[rows, columns] as numbers of the type: what `as_columns` was given. Anything else that fits no number is cut off."""
    if dtype == np.float32:
        return columns
    if dtype.kind == "f" and dtype.name in NARROW:
        return columns.astype(dtype)
    if dtype.kind == "b":
        return np.asarray(columns != 0)
    if dtype.name in NARROW:
        bounds = np.iinfo(dtype.name)
        return np.clip(np.rint(columns), bounds.min, bounds.max).astype(dtype)
    limbs = np.clip(np.rint(columns), 0, (1 << LIMB_BITS) - 1).astype("<u2")
    return limbs.view(dtype.newbyteorder("<")).astype(dtype, copy=False)


def _of_step_model(model: StepModel) -> StateLayout:
    named: list[tuple[str, str, int]] = [(state.name, state.name, state.columns) for state in model.states]
    named += [(entry.name, f"{entry.name}.context", entry.context_size) for entry in model.inputs if entry.context]
    columns: list[StateColumns] = []
    start = 0
    for index, (tensor, name, width) in enumerate(named):
        columns.append(StateColumns(index, tensor, f"{name}_" if name == SEEN else name, start, width))
        start += width
    given = [as_columns(_first(state)) for state in model.states]
    row = np.zeros(start, np.float32)
    row[: sum(state.columns for state in model.states)] = np.concatenate(given, axis=1)[0]
    return StateLayout(tuple(columns), start, row if row.any() else None)


def _first(state: StepState) -> npt.NDArray[np.generic]:
    """[1, numbers]."""
    return np.broadcast_to(np.asarray(state.initial), (1, state.size)).astype(state.dtype)
