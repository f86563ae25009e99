"""A part of a graph tried: what its axes are, whether its steps and its rows leave each other alone, and how many steps it makes.

Told by running it at several numbers of rows and steps, on numbers of several sizes. Knows no nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_counts import Window
from cellserve.models.importers.onnx.carrying.part import Layout
from cellserve.models.importers.onnx.values import Flow, NotTranslated
from cellserve.models.numerics.carried import Run
from cellserve.models.steps.graph_file import short

Array = npt.NDArray[Any]
ROWS: Final = (2, 3)
STEPS: Final = (37, 53)
LENGTHS: Final = (*range(1, 25), 31, 40, 67)
SCALES: Final = (0.5, 0.02, 8.0)  # of the numbers that are drawn
LONG: Final = 150  # steps of a row in which single ones are changed
BOUND: Final = 1e-4  # of a difference over a feature's largest value, which rounding stays below
MOST_SIZE: Final = 65
MOST_STRIDE: Final = 16
IDS: Final = 2  # drawn where nothing says how many there are


class Trial:
    """`reads`: in the order of the part's inputs; `vocabularies`: of ids among them. `fixed`: the only length, if any."""

    def __init__(
        self, reads: Sequence[Flow], vocabularies: Mapping[int, int], seed: int = 0, *, fixed: int | None = None
    ) -> None:
        self._reads = reads
        self.fixed = fixed
        self._vocabularies = vocabularies
        self._random = np.random.default_rng(seed)

    def lengths(self, *usual: int) -> tuple[int, ...]:
        return usual if self.fixed is None else (self.fixed,)

    def drawn(self, rows: int, steps: int, scale: float = SCALES[0]) -> list[Array]:
        made: list[Array] = []
        for place, flow in enumerate(self._reads):
            lead = (rows, steps) if flow.sequence else (rows,)
            if flow.ids:
                made.append(self._random.integers(0, self._vocabularies.get(place, IDS), lead).astype(np.int64))
            else:
                made.append((scale * self._random.standard_normal((*lead, flow.width))).astype(np.float32))
        return made

    def asked(self, run: Run, given: Sequence[Array]) -> Array | None:
        """None: it does not run."""
        try:
            return run(given)
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            self.said = short(error)
            return None

    said: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """`rows`: whether any number of rows may go in."""

    layout: Layout
    rows: bool


def layout_of(trial: Trial, run: Run, *, sequences: bool, expected: Sequence[str] | None = None) -> Shape:
    """`run`: of the part without a layout. `expected`: roles of the axes, where whoever reads it says them.

    Raises NotTranslated: it does not run, or an axis is both rows and steps.
    """
    if trial.fixed is not None:
        return _layout_at(trial, run, trial.fixed, sequences=sequences, expected=expected)
    several = [_shape(trial, run, rows, steps) for rows, steps in ((ROWS[0], STEPS[0]), (ROWS[1], STEPS[0]), (ROWS[0], STEPS[1]))]
    axes = _axes([one for one in several if one is not None], sequences) if None not in several else None
    if axes is not None and "batch" in axes:
        return Shape(Layout(axes), rows=True)
    alone = [_shape(trial, run, 1, steps) for steps in STEPS]
    if None in alone:
        raise NotTranslated(f"onnxruntime does not run it at {STEPS[0]} steps: {trial.said}")
    first, other = (one or () for one in alone)
    axes = _axes([first, first, other], sequences)
    if axes is None:
        raise NotTranslated("what it makes has its steps in several axes")
    if expected is not None and "batch" in expected and len(expected) == len(axes):
        place = list(expected).index("batch")
        if axes[place] == 1:
            axes = tuple("batch" if here == place else axis for here, axis in enumerate(axes))
    return Shape(Layout(axes), rows=False)


def _layout_at(trial: Trial, run: Run, steps: int, *, sequences: bool, expected: Sequence[str] | None) -> Shape:
    """At one length, time is the axis that whoever reads it says, else the first of that length."""
    alone = _shape(trial, run, 1, steps)
    if alone is None:
        raise NotTranslated(f"onnxruntime does not run it at {steps} steps: {trial.said}")
    several = [_shape(trial, run, rows, steps) for rows in ROWS]
    axes: list[str | int] = list(alone)
    if several[0] is not None and several[1] is not None and len(several[0]) == len(several[1]) == len(alone):
        axes = ["batch" if one != other else size for size, one, other in zip(alone, several[0], several[1])]
    rows = axes.count("batch") == 1
    if not rows and expected is not None and "batch" in expected and len(expected) == len(axes):
        place = list(expected).index("batch")
        axes[place] = "batch" if axes[place] == 1 else axes[place]
    time = [place for place, axis in enumerate(axes) if axis == steps]
    if expected is not None and "time" in expected and len(expected) == len(axes):
        time = [place for place in time if expected[place] == "time"]
    if time and sequences:
        axes[time[0]] = "time"
    if axes.count("batch") > 1 or 0 in axes:
        raise NotTranslated("what it makes has its rows in several axes")
    return Shape(Layout(tuple(axes)), rows=rows)


def _shape(trial: Trial, run: Run, rows: int, steps: int) -> tuple[int, ...] | None:
    made = trial.asked(run, trial.drawn(rows, steps))
    if made is not None and made.dtype != np.float32:
        raise NotTranslated(f"it makes {made.dtype} numbers, which no layer reads")
    return None if made is None else made.shape


def _axes(shapes: Sequence[tuple[int, ...]], sequences: bool) -> tuple[str | int, ...] | None:
    """Of shapes at (rows, steps), (other rows, steps), (rows, other steps)."""
    first, rows, steps = shapes
    if not len(first) == len(rows) == len(steps):
        return None
    axes: list[str | int] = []
    for size, with_rows, with_steps in zip(first, rows, steps):
        if size != with_rows and size != with_steps:
            return None
        axes.append("batch" if size != with_rows else "time" if size != with_steps and sequences else size)
    plain = axes.count("batch") <= 1 and axes.count("time") <= 1 and all(axis != 0 for axis in axes)
    return tuple(axes) if plain else None


def steps_alone(trial: Trial, run: Run) -> bool:
    """Whether each step comes of that step alone: at several lengths, whatever stands beside it, and how large it is."""
    if trial.fixed is not None:
        return False
    for scale in SCALES:
        for steps in (1, 2, 9, LONG):
            given = trial.drawn(1, steps, scale)
            whole = trial.asked(run, given)
            if whole is None or whole.shape[:2] != (1, steps):
                return False
            for place in {0, steps // 2, steps - 1}:
                alone = trial.asked(run, [array[:, place : place + 1] for array in given])
                if alone is None or not near(alone, whole[:, place : place + 1]):
                    return False
            order = np.random.default_rng(steps).permutation(steps)
            turned = trial.asked(run, [array[:, order] for array in given])
            if turned is None or not near(turned, whole[:, order]):
                return False
            if not all(near(changed, whole, place) for place, changed in _changed(trial, run, given)):
                return False
    return True


def _changed(trial: Trial, run: Run, given: Sequence[Array]) -> Iterator[tuple[int, Array]]:
    """What it makes where all steps but one are other ones, far larger."""
    steps = given[0].shape[1]
    for place in {0, steps // 3, steps - 1}:
        others = trial.drawn(1, steps, 30.0)
        for array, kept in zip(others, given):
            array[:, place] = kept[:, place]
        made = trial.asked(run, others)
        yield place, np.zeros(0) if made is None else made


def rows_alone(trial: Trial, run: Run) -> bool:
    """Whether rows of one call leave each other alone."""
    for scale in SCALES:
        for steps in trial.lengths(STEPS[0], LONG):
            given = trial.drawn(4, steps, scale)
            given = [np.concatenate([array, other]) for array, other in zip(given, trial.drawn(1, steps, 30.0))]
            together = trial.asked(run, given)
            if together is None or len(together) != 5:
                return False
            for row in range(5):
                alone = trial.asked(run, [array[row : row + 1] for array in given])
                if alone is None or not near(alone, together[row : row + 1]):
                    return False
    return True


def near(one: Array, other: Array, step: int | None = None) -> bool:
    """`step`: that alone."""
    if one.shape != other.shape:
        return False
    if step is not None:
        one, other = one[:, step], other[:, step]
    same = (np.isnan(one) & np.isnan(other)) | (one == other)
    if same.all():
        return True
    largest = np.abs(np.where(np.isfinite(other), other, 0.0)).max(axis=tuple(range(other.ndim - 1)))  # of each feature
    with np.errstate(invalid="ignore"):
        return bool((same | (np.abs(one - other) <= BOUND * largest)).all())


def counted(trial: Trial, run: Run, *, sequence: bool) -> Window:
    """How many steps it makes of how many. Raises NotTranslated: that is what no window does."""
    if trial.fixed is not None:
        return Window(1, 1, "valid")
    made: dict[int, int] = {}
    for steps in LENGTHS:
        answer = trial.asked(run, trial.drawn(1, steps))
        made[steps] = 0 if answer is None else answer.shape[1] if sequence else 1
    if not sequence:
        if 0 in made.values():
            raise NotTranslated(f"it is run over whole rows, and onnxruntime does not run it at every length: {trial.said}")
        return Window(1, 1, "valid")
    for window in _windows():
        if all(window.steps(steps) == count for steps, count in made.items()):
            return window
    raise NotTranslated("how many steps it makes of a row is what no window does; it may be fixed to the exporter's example")


def _windows() -> Iterator[Window]:
    paddings: tuple[Literal["valid", "same"], ...] = ("valid", "same")
    for stride in range(1, MOST_STRIDE + 1):
        for size in range(1, MOST_SIZE + 1):
            yield from (Window(size, stride, padding) for padding in paddings if size == 1 or padding == "valid")
