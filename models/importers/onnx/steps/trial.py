"""A graph tried: run with some numbers of rows and steps, to see what it takes and what it gives.

Which axis of an input is which is decided elsewhere; here sizes are put in their places. Knows no states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.step_model import Axis
from cellserve.models.importers.onnx.steps.reading import Declared, StepFile
from cellserve.models.steps.graph_file import short

Array = npt.NDArray[Any]
MOST_NUMBERS: Final = 1 << 26  # of all inputs of a trial
IDS: Final = 2  # drawn where nothing says how many there are


class NotRun(Exception):
    """onnxruntime does not run the graph on these inputs; the message is its own."""


class Trial:
    """`axes`: of each input that is fed or a state. `fixed`: the arrays of the others."""

    def __init__(self, file: StepFile, axes: Mapping[str, Sequence[Axis]], fixed: Mapping[str, Array], seed: int = 0) -> None:
        self._file = file
        self._axes = axes
        self._fixed = fixed
        self._random = np.random.default_rng(seed)
        self._declared = {entry.name: entry for entry in file.inputs}

    def inputs(self, rows: int, steps: int) -> dict[str, Array]:
        """Raises NotRun: far too large."""
        shapes = {name: shape_of(axes, rows, steps) for name, axes in self._axes.items()}
        if sum(prod(shape) for shape in shapes.values()) > MOST_NUMBERS:
            raise NotRun("its inputs are far too large to be tried")
        return {name: self._drawn(self._declared[name], shape) for name, shape in shapes.items()}

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """By output. Raises NotRun."""
        names = [entry.name for entry in self._file.outputs]
        try:
            made = self._file.session.run(names, {**self._fixed, **given})
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise NotRun(short(error)) from error
        return {name: np.asarray(array) for name, array in zip(names, made)}

    def shapes(self, rows: int, steps: int) -> dict[str, tuple[int, ...]]:
        """Of the outputs. Raises NotRun."""
        return {name: array.shape for name, array in self.run(self.inputs(rows, steps)).items()}

    def runs(self, rows: int, steps: int) -> bool:
        try:
            self.shapes(rows, steps)
        except NotRun:
            return False
        return True

    def _drawn(self, entry: Declared, shape: tuple[int, ...]) -> Array:
        dtype = np.dtype(entry.dtype)
        if dtype.kind == "f":
            return (0.5 * self._random.standard_normal(shape)).astype(dtype)
        if dtype.kind == "b":
            return np.zeros(shape, dtype)
        return self._random.integers(0, self._file.vocabularies.get(entry.name, IDS), shape).astype(dtype)


def sizes_of(dims: Sequence[int | str | None] | None) -> tuple[int, ...]:
    """Of an input whose every size is declared; 1 for one that is not."""
    return tuple(dim if isinstance(dim, int) else 1 for dim in dims or ())


def shape_of(axes: Sequence[Axis], rows: int, steps: int) -> tuple[int, ...]:
    return tuple(rows if axis == "batch" else steps if axis == "time" else int(axis) for axis in axes)
