"""How rows stand in a graph's tensors: the axis of rows, the axis of time and all others, there and back.

Here rows come first, then time (where a tensor has an axis of it), then all other axes in the graph's own order. Knows no states,
no session.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.state_layout import as_columns, from_columns
from cellserve.models.description.step_model import StepInput, StepState, StepTensor

Array = npt.NDArray[Any]


class Arrangement:
    """Of one tensor."""

    def __init__(self, tensor: StepTensor) -> None:
        self.tensor = tensor
        self._dtype = np.dtype(tensor.dtype)
        ordered = [place for place in (tensor.place("batch"), tensor.place("time")) if place is not None]
        ordered += [place for place, axis in enumerate(tensor.axes) if isinstance(axis, int)]
        self._rows_first = ordered
        self._as_graph = [ordered.index(place) for place in range(len(ordered))]
        self._moves = ordered != sorted(ordered)
        self._batched = "batch" in tensor.axes
        self._timed = "time" in tensor.axes
        self._name = tensor.name

    def to_graph(self, rows: Array) -> Array:
        """rows: [B, (T,) numbers], or [B, (T)] of one number; B is 1 without an axis of rows. As the graph takes it."""
        leading = rows.shape[: 1 + self._timed]
        values = rows.reshape((*(leading if self._batched else leading[1:]), *self.tensor.features))
        if values.dtype != self._dtype:
            values = _converted(values, self._dtype)
        return np.ascontiguousarray(values.transpose(self._as_graph)) if self._moves else np.asarray(values)

    def from_graph(self, array: Array, rows: int) -> Array:
        """[B, (T,) *features]. Raises ValueError: the graph gave another shape than it was said to."""
        values = array.transpose(self._rows_first) if self._moves and array.ndim == len(self._rows_first) else array
        if not self._batched:
            values = values[np.newaxis]
        lead = 1 + self._timed
        if len(values) != rows or values.shape[lead:] != self.tensor.features:
            raise ValueError(
                f"the graph gives {self._name!r} as {list(array.shape)} for {rows} rows; its axes are {list(self.tensor.axes)}"
            )
        return values


class StateArrangement:
    """Of one state, with its columns of a row: `start` … `stop`."""

    def __init__(self, state: StepState, start: int) -> None:
        self.state = state
        self.columns = slice(start, start + state.columns)
        self._dtype = np.dtype(state.dtype)
        self._plain = Arrangement(state)

    def to_graph(self, rows: npt.NDArray[np.float32]) -> Array:  # [B, width]
        return self._plain.to_graph(from_columns(rows[:, self.columns], self._dtype))

    def keep(self, array: Array, rows: npt.NDArray[np.float32]) -> None:
        """Into the columns of `rows` [B, width]. Raises ValueError: of another shape or type than the state is."""
        if array.dtype != self._dtype:
            raise ValueError(f"the graph gives {self.state.output!r} as {array.dtype}, and takes {self._dtype}")
        values = self._plain.from_graph(array, len(rows))
        rows[:, self.columns] = as_columns(values.reshape(len(rows), -1))


class ContextArrangement:
    """The last values of the feed before, which stand before those of this one; `start` … `stop` of a row."""

    def __init__(self, entry: StepInput, start: int) -> None:
        self.columns = slice(start, start + entry.context_size)
        self._axis = entry.context_axis
        self._context = entry.context
        axes = tuple(entry.context if place == entry.context_axis else axis for place, axis in enumerate(entry.axes))
        self._plain = Arrangement(StepTensor(name=entry.name, dtype=entry.dtype, axes=axes))

    def joined(self, rows: npt.NDArray[np.float32], fed: Array) -> Array:
        """fed: as the graph takes it. The same with the context before it, whose last values become the context in `rows`."""
        whole = np.concatenate([self._plain.to_graph(rows[:, self.columns]), fed], axis=self._axis)
        last = [slice(None)] * whole.ndim
        last[self._axis] = slice(whole.shape[self._axis] - self._context, None)
        rows[:, self.columns] = self._plain.from_graph(whole[tuple(last)], len(rows)).reshape(len(rows), -1)
        return whole


def _converted(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iu" and values.dtype.kind == "f":
        return np.rint(values).astype(dtype)
    return values.astype(dtype)
