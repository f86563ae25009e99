"""What a graph answers feed by feed, row by row, in onnxruntime called by hand: the truth of a step model.

Written as a person would write it, for one row at a time, and sharing no code with the calls that it judges. Knows no batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_model import StepInput, StepModel, StepState, StepTensor
from cellserve.models.steps.graph_file import Session

Array = npt.NDArray[Any]


class ByHand:
    """One row from its start. `states`: of the graph, as it takes them, after what was fed so far."""

    def __init__(self, model: StepModel, session: Session) -> None:
        self._model = model
        self._session = session
        self.states: dict[str, Array] = {state.name: _first(state) for state in model.states}
        self._contexts = {
            entry.name: np.zeros(_shape(entry, 1, entry.context), entry.dtype) for entry in model.inputs if entry.context
        }

    def feed(self, inputs: Sequence[Array]) -> list[Array]:
        """inputs: of each [T, width], ids [T], or of a vector [width]. What it answers, each [T, …] or […]."""
        if self._model.whole_feeds:
            return self._call(inputs)
        steps = next(len(array) for entry, array in zip(self._model.inputs, inputs) if entry.kind != "vector")
        frames = [
            self._call([array if entry.kind == "vector" else array[step] for entry, array in zip(self._model.inputs, inputs)])
            for step in range(steps)
        ]
        return [np.stack(parts) for parts in zip(*frames)]

    def wire_states(self) -> list[Array]:
        """Of each state of the model, then each context: its numbers, rows first, flat."""
        flat = [_flat(state, self.states[state.name]) for state in self._model.states]
        return flat + [_flat(entry, self._contexts[entry.name]) for entry in self._model.inputs if entry.context]

    def _call(self, inputs: Sequence[Array]) -> list[Array]:
        given = {
            constant.name: np.array(constant.values).astype(constant.dtype).reshape(_shape(constant, 1, 1))
            for constant in self._model.constants
        }
        for entry, array in zip(self._model.inputs, inputs):
            value = _as_taken(entry, array)
            if entry.context:
                value = np.concatenate([self._contexts[entry.name], value], axis=entry.context_axis)
                kept = range(value.shape[entry.context_axis] - entry.context, value.shape[entry.context_axis])
                self._contexts[entry.name] = value.take(kept, axis=entry.context_axis)
            given[entry.name] = value
        given |= self.states
        names = [output.name for output in self._model.answers] + [state.output for state in self._model.states]
        made = dict(zip(names, self._session.run(names, given)))
        self.states = {state.name: made[state.output] for state in self._model.states}
        return [_as_answered(output, made[output.name]) for output in self._model.answers]


def _shape(tensor: StepTensor, steps: int, context: int = 0) -> list[int]:
    """For one row. context: in place of its axis's own size."""
    place = tensor.context_axis if context and isinstance(tensor, StepInput) else None
    sizes = [1 if axis == "batch" else steps if axis == "time" else axis for axis in tensor.axes]
    return [context if number == place else size for number, size in enumerate(sizes)]


def _first(state: StepState) -> Array:
    size = int(np.prod(_shape(state, 1)))
    return np.resize(np.asarray(state.initial), size).astype(state.dtype).reshape(_shape(state, 1))


def _as_taken(entry: StepInput, array: Array) -> Array:
    """One row's: its steps stand where the axis of time is."""
    timed = "time" in entry.axes
    steps = len(array) if timed else 1
    others = [axis for axis in entry.axes if isinstance(axis, int)]
    value = np.asarray(array).reshape([steps, *others] if timed else others)
    if np.issubdtype(np.dtype(entry.dtype), np.integer):
        value = np.rint(value)
    if timed:
        before = sum(isinstance(axis, int) for axis in entry.axes[: entry.axes.index("time")])
        value = np.moveaxis(value, 0, before)
    return np.asarray(value).reshape(_shape(entry, steps)).astype(entry.dtype)


def _as_answered(output: StepTensor, array: Array) -> Array:
    value = array
    if "batch" in output.axes:
        value = np.take(value, 0, axis=output.axes.index("batch"))
    if "time" in output.axes:
        left = [axis for axis in output.axes if axis != "batch"]
        value = np.moveaxis(value, left.index("time"), 0)
    return np.asarray(value, np.float32)


def _flat(tensor: StepTensor, array: Array) -> Array:
    return np.ravel(np.take(array, 0, axis=tensor.axes.index("batch")) if "batch" in tensor.axes else array)
