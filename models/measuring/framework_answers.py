"""What the framework that wrote a file answered itself: the one thing that shows a wrongly understood file.

Holds such answers against a description: kinds, shapes, ids, and the two ways in which PyTorch lays out time. Knows no files, and
not what this network answers (framework_parity.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.input_step_counts import input_step_counts
from cellserve.models.description.shapes import fewest_steps, infer_shapes, required_steps
from cellserve.models.description.step_counts import Fed
from cellserve.models.errors import ModelError
from cellserve.models.measuring.golden_pair import vocabulary
from cellserve.models.spec import InputSpec, ModelSpec

Array = npt.NDArray[Any]
TIME_MAJOR: Final = "read with time as the first axis"


class AnswersDoNotFit(ModelError):
    """Inputs or outputs that this network can neither read nor give; the message names the array and both shapes."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Batch-major: inputs [B, T, F], ids [B, T] or vectors [B, width]; outputs [B, T, …] or [B, …]. `lengths`: of the rows.

    Of inputs that may have lengths of their own, each has its own.
    """

    inputs: tuple[Array, ...]
    lengths: tuple[Fed, ...]
    outputs: tuple[Array, ...]
    how: str = ""


@dataclass(frozen=True, slots=True)
class FrameworkAnswers:
    """`by`: who answered, as a person is told: a file's name, or "torch 2.13.0, module by module".

    `lengths`: of the rows, where they are not all as long as the inputs. `time_major`: whether sequences may be [T, B, …].
    """

    by: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    lengths: tuple[int, ...] | None = None
    time_major: bool = True

    def readings(self, spec: ModelSpec) -> list[Reading]:
        """The ways to understand the arrays for this network, the likeliest first. Raises AnswersDoNotFit: there is none."""
        try:
            first = [self._reading(spec, self.inputs, self.outputs, "")]
        except AnswersDoNotFit:
            if (turned := self._turned(spec)) is None:
                raise
            return [turned]
        turned = self._turned(spec)
        return first if turned is None else [*first, turned]

    def _turned(self, spec: ModelSpec) -> Reading | None:
        if not self.time_major or self.lengths is not None:
            return None
        shapes = infer_shapes(spec)
        sequences = [entry.kind != "vector" for entry in spec.inputs], [shapes[name].sequence for name in spec.outputs]
        inputs, outputs = (
            tuple(_swapped(array) if sequence else array for array, sequence in zip(arrays, kinds))
            for arrays, kinds in zip((self.inputs, self.outputs), sequences, strict=True)
        )
        try:
            return self._reading(spec, inputs, outputs, TIME_MAJOR)
        except AnswersDoNotFit:
            return None

    def _reading(self, spec: ModelSpec, inputs: tuple[Array, ...], outputs: tuple[Array, ...], how: str) -> Reading:
        self._require_count("x", len(inputs), len(spec.inputs), "inputs")
        self._require_count("y", len(outputs), len(spec.outputs), "outputs")
        fitting = tuple(self._input(index, entry, array, spec) for index, (entry, array) in enumerate(zip(spec.inputs, inputs)))
        for index, output in enumerate(outputs):
            if output.dtype.kind != "f" or output.dtype.itemsize < np.dtype(np.float32).itemsize:
                raise AnswersDoNotFit(
                    f"{self.by}: y{index} is {output.dtype}; let the framework compute in float32 and save that"
                )
        rows = {len(array) for array in (*fitting, *outputs) if array.ndim}
        if rows != {len(fitting[0])}:
            raise AnswersDoNotFit(f"{self.by}: its arrays are not of one number of rows: {self._shapes(inputs, outputs)}")
        fed = self._fed(spec, fitting, inputs, outputs)
        return Reading(fitting, self.lengths or (fed,) * len(fitting[0]), outputs, how)

    def _fed(self, spec: ModelSpec, fitting: tuple[Array, ...], inputs: tuple[Array, ...], outputs: tuple[Array, ...]) -> Fed:
        """The time steps of the inputs. Raises AnswersDoNotFit: none that the model takes, or not equal where they must be."""
        step_counts = input_step_counts(spec)
        steps = [array.shape[1] if entry.name in step_counts else 1 for entry, array in zip(spec.inputs, fitting)]
        timed = {number: step_counts[entry.name].source for number, entry in enumerate(spec.inputs) if entry.name in step_counts}
        if any(steps[number] != steps[source] for number, source in timed.items()):
            raise AnswersDoNotFit(f"{self.by}: its inputs are not of one number of time steps: {self._shapes(inputs, outputs)}")
        for number, required, fewest in zip(range(len(steps)), required_steps(spec), fewest_steps(spec)):
            if number in timed and (steps[number] < fewest or required not in (None, steps[number])):
                wanted = f"exactly {required}" if required is not None else f"at least {fewest}"
                raise AnswersDoNotFit(f"{self.by}: its inputs have {steps[number]} time steps, the model needs {wanted}")
        own = {steps[number] for number in timed}
        return tuple(steps) if len(own) > 1 else next(iter(own), 1)

    def _require_count(self, letter: str, found: int, expected: int, what: str) -> None:
        if found != expected:
            wanted = ", ".join(f"{letter}{index}" for index in range(expected))
            raise AnswersDoNotFit(f"{self.by}: the model has {expected} {what} ({wanted}), the file {found}")

    def _input(self, index: int, entry: InputSpec, array: Array, spec: ModelSpec) -> Array:
        """Raises AnswersDoNotFit for an array that cannot be this input."""
        rank = 2 if entry.kind == "vector" or entry.width is None else 3
        what = {
            "features": f"[batch, time, {entry.width}]",
            "vector": f"[batch, {entry.width}]",
            "ids": f"ids {'[batch, time]' if entry.width is None else f'[batch, time, {entry.width}]'}",
        }
        if array.ndim > rank and entry.width == prod(array.shape[rank - 1 :]):
            array = array.reshape(*array.shape[: rank - 1], -1)  # several axes of features, which are served as one
        wrong_width = entry.width is not None and array.shape[-1:] != (entry.width,)
        if array.ndim != rank or wrong_width or not array.size:
            raise AnswersDoNotFit(f"{self.by}: x{index} is {list(array.shape)}; the model reads {what[entry.kind]}")
        if not np.isfinite(array).all():
            raise AnswersDoNotFit(f"{self.by}: x{index} holds values that are not finite numbers")
        if entry.kind != "ids":
            return array.astype(np.float32)
        words = vocabulary(spec, entry.name)
        if (array != np.floor(array)).any() or array.min() < 0 or array.max() >= words:
            raise AnswersDoNotFit(f"{self.by}: x{index} must hold ids, whole numbers from 0 to {words - 1}")
        return array.astype(np.int64)

    def _shapes(self, inputs: tuple[Array, ...], outputs: tuple[Array, ...]) -> str:
        named = [*((f"x{i}", a) for i, a in enumerate(inputs)), *((f"y{i}", a) for i, a in enumerate(outputs))]
        return ", ".join(f"{name} {list(array.shape)}" for name, array in named)


def _swapped(array: Array) -> Array:
    return array.swapaxes(0, 1) if array.ndim > 1 else array
