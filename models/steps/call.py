"""A step model's calls over rows: what rows share, side by side in one run of the graph, however they differ.

Where a call takes a frame, rows of different lengths run side by side as long as each lasts; where it takes a whole feed, those
of equal length do. What a request says once for a feed (a sample rate) must be equal, too. Rows that cannot share a call have
calls of their own. Knows no requests and no threads; calls may overlap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_model import StepModel
from cellserve.models.steps.axes import Arrangement, ContextArrangement, StateArrangement
from cellserve.models.steps.graph_file import Session

Array = npt.NDArray[Any]
States = npt.NDArray[np.float32]
Row = Sequence[Array]
"""Of each input of the model: [T, width] float32 or ids [T] int64; a vector [width]."""


class StepCall:
    """`session`: of the model's graph."""

    def __init__(self, model: StepModel, session: Session, layout: StateLayout) -> None:
        self.model = model
        self._session = session
        self._inputs = [Arrangement(entry) for entry in model.inputs]
        self._timed = [number for number, entry in enumerate(model.inputs) if entry.kind != "vector"]
        self._vectors = [number for number, entry in enumerate(model.inputs) if entry.kind == "vector"]
        self._answers = [Arrangement(output) for output in model.answers]
        starts = [columns.start for columns in layout.columns]
        self._states = [StateArrangement(state, start) for state, start in zip(model.states, starts)]
        with_context = [number for number, entry in enumerate(model.inputs) if entry.context]
        self._contexts = {
            number: ContextArrangement(model.inputs[number], start)
            for number, start in zip(with_context, starts[len(model.states) :])
        }
        self._constants: Mapping[str, Array] = {
            constant.name: _constant(constant.values, constant) for constant in model.constants
        }
        self._names = [*model.outputs, *(state.output for state in model.states)]

    def advance(self, rows: Sequence[Row], states: States) -> tuple[list[list[Array]], States]:
        """states: [B, width]. For each row what it answers, [T, …] or […], and the new states.

        Raises whatever onnxruntime raises.
        """
        made = states.copy()
        answers: list[list[Array]] = [[] for _ in rows]
        for group in self._groups(rows):
            mates = [rows[place] for place in group]
            outputs, made[group] = self._together(mates, made[group])
            for place, row in enumerate(group):
                answers[row] = [output[place] for output in outputs]
        if not self.model.whole_feeds:
            for row, fed in enumerate(rows):
                steps = len(fed[self._timed[0]])
                answers[row] = [answer[:steps] for answer in answers[row]]
        return answers, made

    def frames(self, inputs: Sequence[Array], lengths: Sequence[int], states: States) -> tuple[list[Array], States]:
        """inputs: of each [B, T, width] or ids [B, T], of a vector [width]. Frame after frame, each row as far as it goes.

        Of each output [B, T, …], with zeros beyond a row's end, and the states [B, width].
        """
        steps, rows = max(lengths), len(lengths)
        if not self.model.batched and rows > 1:
            return self._frames_alone(inputs, lengths, states)
        if steps == 1:
            outputs, states = self.call([self._frame(number, array, 0) for number, array in enumerate(inputs)], states)
            return [output[:, np.newaxis] for output in outputs], states
        states = states.copy()
        outputs = []
        for step in range(steps):
            alive = [row for row, length in enumerate(lengths) if length > step]
            whole = len(alive) == rows
            frame = [self._frame(number, array, step) for number, array in enumerate(inputs)]
            if not whole:
                frame = [array if number in self._vectors else array[alive] for number, array in enumerate(frame)]
            made, after = self.call(frame, states if whole else states[alive])
            outputs = outputs or [np.zeros((rows, steps, *output.shape[1:]), output.dtype) for output in made]
            for output, part in zip(outputs, made):
                output[slice(None) if whole else alive, step] = part
            if whole:
                states = after
            else:
                states[alive] = after
        return outputs, states

    def call(self, fed: Sequence[Array], states: States) -> tuple[list[Array], States]:
        """One run. fed: of each input [B, (T,) width] or ids [B, (T)], of a vector [width]. states: [B, width].

        Of each output [B, (T,) *features] float32, and the new states.
        """
        rows, after = len(states), states.copy()
        given = {**self._constants}
        for number, (arrangement, array) in enumerate(zip(self._inputs, fed)):
            if number in self._vectors:
                array = np.broadcast_to(array, (rows if "batch" in arrangement.tensor.axes else 1, array.shape[-1]))
            value = arrangement.to_graph(array)
            if number in self._contexts:
                value = self._contexts[number].joined(after, value)
            given[arrangement.tensor.name] = value
        for state in self._states:
            given[state.state.name] = state.to_graph(states)
        made = self._session.run(self._names, given)
        for state, array in zip(self._states, made[len(self._answers) :]):
            state.keep(array, after)
        outputs = [
            np.ascontiguousarray(arrangement.from_graph(array, rows), np.float32)
            for arrangement, array in zip(self._answers, made)
        ]
        return outputs, after

    def _frame(self, number: int, array: Array, step: int) -> Array:
        return array if number in self._vectors else array[:, step]

    def _groups(self, rows: Sequence[Row]) -> list[list[int]]:
        """Of rows that go through calls together."""
        groups: defaultdict[object, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            key: list[object] = [row[number].tobytes() for number in self._vectors]
            if self.model.whole_feeds:
                key.append(len(row[self._timed[0]]))
            if not self.model.batched:
                key.append(place)
            groups[tuple(key)].append(place)
        return list(groups.values())

    def _together(self, rows: Sequence[Row], states: States) -> tuple[list[Array], States]:
        if self.model.whole_feeds:
            fed = [
                row_of_all[0] if number in self._vectors else np.stack(row_of_all) for number, row_of_all in enumerate(zip(*rows))
            ]
            return self.call(fed, states)
        lengths = [len(row[self._timed[0]]) for row in rows]
        longest = max(lengths)
        inputs = [
            parts[0] if number in self._vectors else _side_by_side(parts, longest) for number, parts in enumerate(zip(*rows))
        ]
        return self.frames(inputs, lengths, states)

    def _frames_alone(self, inputs: Sequence[Array], lengths: Sequence[int], states: States) -> tuple[list[Array], States]:
        states, outputs = states.copy(), list[Array]()
        for row, length in enumerate(lengths):
            own = [array if number in self._vectors else array[row : row + 1, :length] for number, array in enumerate(inputs)]
            made, states[row : row + 1] = self.frames(own, [length], states[row : row + 1])
            outputs = outputs or [np.zeros((len(lengths), max(lengths), *part.shape[2:]), part.dtype) for part in made]
            for output, part in zip(outputs, made):
                output[row, :length] = part[0]
        return outputs, states


def _side_by_side(parts: Sequence[Array], longest: int) -> Array:
    """[B, longest, …], zeros beyond the end of each."""
    if all(len(part) == longest for part in parts):
        return np.stack(parts)
    made = np.zeros((len(parts), longest, *parts[0].shape[1:]), parts[0].dtype)
    for row, part in zip(made, parts):
        row[: len(part)] = part
    return made


def _constant(values: Sequence[float], tensor: Any) -> Array:
    return np.array(values).astype(tensor.dtype).reshape(tensor.features)
