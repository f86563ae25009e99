"""ONNX graphs as step models: their inputs' roles told, the graph tried, and what it takes and gives written down.

What is not declared is found by running the graph, in a process of its own: at how many rows and steps it runs, what it answers
then, and whether rows of one call leave each other alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.description.step_model import (
    Axis,
    Dtype,
    StepConstant,
    StepInput,
    StepModel,
    StepOutput,
    StepState,
)
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedStepModel, Source, file_digest
from cellserve.models.importers.onnx.steps.alone import ROWS, row_axis, why_alone
from cellserve.models.importers.onnx.steps.lengths import Lengths, lengths, window
from cellserve.models.importers.onnx.steps.notes import notes
from cellserve.models.importers.onnx.steps.piecewise import with_states
from cellserve.models.importers.onnx.steps.reading import StepFile, read_step_file
from cellserve.models.importers.onnx.steps.roles import Roles, has_states, has_states_in_order, roles
from cellserve.models.importers.onnx.steps.trial import NotRun, Trial, sizes_of

Array = npt.NDArray[Any]
FIELDS: Final = frozenset({"step", "states", "initial", "axes", "frames", "context"})
"""Of a description: what is said of step models alone."""

SHARED: Final = frozenset({"constants", "outputs"})

NUMBERS: Final = (0, 1, 16000, 8000)  # tried for what requests say as one number
LARGEST_WIDTH: Final = 1 << 22  # numbers of a frame, a state or an answer


def load_step_model(path: Path, description: Description) -> ImportedStepModel:
    """Raises ImportRefused naming what is not told or does not run, and what to do."""
    file = read_step_file(path)
    origin = Source("onnx", file.producer, path.name, file_digest(path))
    if not has_states(file, description) and not has_states_in_order(file):
        with np.errstate(all="ignore"):
            opened = with_states(file, description)
        if opened is not None:
            file, description, remark = opened
            return step_model_of(file, description, origin, (remark,))
    return step_model_of(file, description, origin)


def step_model_of(file: StepFile, description: Description, origin: Source, remarks: Sequence[str] = ()) -> ImportedStepModel:
    """`remarks`: to be said before the notes. Raises ImportRefused as load_step_model does."""
    with np.errstate(all="ignore"):
        return _Import(file, description, origin, remarks).model()


class _Import:
    def __init__(self, file: StepFile, description: Description, origin: Source, remarks: Sequence[str]) -> None:
        self.file = file
        self.description = description
        self.source = str(file.path)
        self.origin = origin
        self.remarks = remarks
        self.notes: list[str] = []

    def model(self) -> ImportedStepModel:
        found = roles(self.file, self.description)
        self._require_types(found)
        number = self._number(found)
        frames = None
        if found.timed:
            frames = lengths(lambda steps: self._trial(found, number).runs(1, steps))
            if frames is None:
                raise self._not_run(found, number)
            if len(frames.tried) == 1:
                self.notes.append(f"The graph runs at {frames.tried[0]} steps a call only: that is a frame.")
                found, frames = found.of_frames(frames.tried[0]), None
        trial, steps = self._trial(found, number, seed=1), frames.tried[0] if frames else 1
        why = why_alone(self.file, found, trial, steps, self._wanted(found))
        spec = self._spec(found, number, frames, batched=why is None)
        self.notes = notes(found, spec, self.notes, why)
        return ImportedStepModel(spec, self.file.graph, self.origin, (*self.remarks, *self.notes))

    def _require_types(self, found: Roles) -> None:
        known = get_args(Dtype)
        used = (*found.states, *found.fed, *found.asked, *found.bound)
        for entry in (*(one for one in self.file.inputs if one.name in used), *self.file.outputs):
            if entry.dtype not in known:
                raise ImportRefused(self.source, f"{entry.name!r} is of the type {entry.dtype}, which no request carries")

    def _trial(self, found: Roles, number: float, seed: int = 0) -> Trial:
        declared = {entry.name: entry for entry in self.file.inputs}
        asked = {name: np.full(sizes_of(declared[name].dims), number, declared[name].dtype) for name in found.asked}
        axes = {
            name: tuple(
                size + found.contexts[name][0]
                if name in found.contexts and place == found.contexts[name][1] and isinstance(size, int)
                else size
                for place, size in enumerate(own)
            )
            for name, own in found.axes.items()
        }
        return Trial(self.file, axes, {**found.bound, **asked}, seed)

    def _number(self, found: Roles) -> float:
        """With which the graph runs, for all that requests say."""
        if not found.asked:
            return 0
        for number in NUMBERS:
            trial = self._trial(found, number)
            if (lengths(lambda steps: trial.runs(1, steps)) is not None) if found.timed else trial.runs(1, 1):  # noqa: B023
                return number
        raise self._not_run(found, NUMBERS[0])

    def _not_run(self, found: Roles, number: float) -> ImportRefused:
        try:
            self._trial(found, number).shapes(1, 512)
        except NotRun as error:
            why = str(error)
        else:
            why = "at the sizes that were tried"
        help_ = "say its axes, its frames or its constants in a --description"
        return ImportRefused(self.source, f"onnxruntime does not run one call of it: {why}; {help_}")

    def _wanted(self, found: Roles) -> list[str]:
        """The outputs that are answered or states."""
        given_back = set(found.states.values())
        answered = self.description.outputs or [one.name for one in self.file.outputs if one.name not in given_back]
        if not answered:
            raise ImportRefused(self.source, "all of its outputs are states; nothing is left to be answered")
        return [*answered, *given_back]

    def _spec(self, found: Roles, number: float, frames: Lengths | None, batched: bool) -> StepModel:
        declared = {entry.name: entry for entry in self.file.inputs}
        trial = self._trial(found, number)
        steps = frames.tried[0] if frames else 1
        alone = not batched and found.rows_first
        try:
            one = trial.shapes(1, steps)
            several = trial.shapes(ROWS, steps) if batched else one
            long = trial.shapes(1, frames.longest) if frames else one
            answers = [self._answer(name, one[name], several[name], trial, frames, alone) for name in self._answered(found)]
        except NotRun as error:
            raise ImportRefused(self.source, f"onnxruntime does not run one call of it: {error}") from error
        kept = sum(int(np.prod([axis for axis in found.axes[name] if isinstance(axis, int)])) for name in found.states)
        if kept > LARGEST_WIDTH:
            raise ImportRefused(self.source, f"its states have {kept:,} numbers; the limit is {LARGEST_WIDTH:,}")
        for name, output in found.states.items():
            axes = found.axes[name]
            expected = tuple(1 if axis == "batch" else axis for axis in axes)
            if {one[output], long[output]} != {expected}:
                raise ImportRefused(
                    self.source,
                    f"the state {name!r} is {list(expected)}, and its next value {output!r} {list(long[output])}: a state that "
                    "grows is not kept",
                )
        try:
            return StepModel(
                inputs=(
                    *(self._fed(declared[name].dtype, name, found) for name in found.fed),
                    *(self._asked(declared[name].dtype, name, declared[name].dims, number) for name in found.asked),
                ),
                states=tuple(
                    StepState(
                        name=name,
                        dtype=declared[name].dtype,  # type: ignore[arg-type]
                        axes=found.axes[name],
                        output=output,
                        initial=self._initial(name),
                    )
                    for name, output in found.states.items()
                ),
                constants=tuple(
                    StepConstant(
                        name=name,
                        dtype=declared[name].dtype,  # type: ignore[arg-type]
                        axes=array.shape,
                        values=tuple(array.ravel().tolist()),
                    )
                    for name, array in found.bound.items()
                ),
                answers=tuple(answers),
                batched=batched,
                parameters=self.file.parameters,
                fewest_steps=frames.fewest if frames else 1,
                multiple_of=frames.multiple if frames else 1,
                tried_steps=frames.tried if frames else (),
            )
        except ValidationError as error:
            raise ImportRefused(self.source, str(error.errors()[0]["msg"])) from error

    def _answered(self, found: Roles) -> list[str]:
        return self._wanted(found)[: -len(set(found.states.values()))]

    def _fed(self, dtype: str, name: str, found: Roles) -> StepInput:
        axes = found.axes[name]
        size = int(np.prod([axis for axis in axes if isinstance(axis, int)], dtype=np.int64))
        if size > LARGEST_WIDTH:
            raise ImportRefused(self.source, f"a frame of {name!r} has {size:,} numbers; the limit is {LARGEST_WIDTH:,}")
        context, axis = found.contexts.get(name, (0, 0))
        vector = found.timed and "time" not in axes
        ids = np.dtype(dtype).kind in "iu" and size == 1 and not vector
        return StepInput(
            name=name,
            dtype=dtype,  # type: ignore[arg-type]
            axes=axes,
            kind="vector" if vector else "ids" if ids else "features",
            context=context,
            context_axis=axis,
            vocabulary=self.file.vocabularies.get(name),
        )

    def _asked(self, dtype: str, name: str, dims: Sequence[Any] | None, number: float) -> StepInput:
        return StepInput(name=name, dtype=dtype, axes=sizes_of(dims), kind="vector", tried_with=number)  # type: ignore[arg-type]

    def _answer(
        self, name: str, one: tuple[int, ...], several: tuple[int, ...], trial: Trial, frames: Lengths | None, alone: bool
    ) -> StepOutput:
        axes: list[Axis] = list(one)
        if alone and one[:1] == (1,):
            axes[0] = "batch"  # of the only row
        elif several != one and (place := row_axis(several, one)) is not None:
            axes[place] = "batch"
        hop = None
        if frames is not None:
            other = trial.shapes(1, frames.longest)[name]
            moving = [place for place, (size, more) in enumerate(zip(one, other)) if size != more]
            if len(other) != len(one) or len(moving) > 1:
                raise ImportRefused(self.source, f"more than one size of {name!r} depends on the steps of a feed: {list(one)}")
            if moving:
                axes[moving[0]] = "time"
                hop = self._window(name, moving[0], trial, frames)
        dtype = next(entry.dtype for entry in self.file.outputs if entry.name == name)
        return StepOutput(name=name, dtype=dtype, axes=tuple(axes), window=hop)  # type: ignore[arg-type]

    def _window(self, name: str, place: int, trial: Trial, frames: Lengths) -> tuple[int, int] | None:
        def count(steps: int) -> int:
            return trial.shapes(1, steps)[name][place]

        if all(count(steps) == steps for steps in (*frames.tried, frames.longest)):
            return None
        try:
            found = window(count, frames)
        except NotRun:
            found = None
        if found is None:
            first = frames.tried[0]
            raise ImportRefused(
                self.source,
                f"how many steps its output {name!r} has does not follow from those of a feed ({count(first)} of {first}); feed "
                f"it in frames: `frames: {{…: {first}}}` in a --description",
            )
        return found

    def _initial(self, name: str) -> float | tuple[float, ...]:
        said = (self.description.initial or {}).get(name, 0.0)
        if isinstance(said, list):
            try:
                values = np.array(said, np.float64).ravel()
            except (TypeError, ValueError) as error:
                raise ImportRefused(self.source, f"what {name!r} begins with is no array of numbers", option="initial") from error
            if not np.isfinite(values).all():
                raise ImportRefused(self.source, f"what {name!r} begins with is not finite", option="initial")
            return tuple(values.tolist())
        return float(said)
