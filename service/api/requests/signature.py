"""What requests to one version look like on the wire: inputs, outputs and states by name, with their shapes.

Made once from a model's description and used by every request to it. Knows no values and no protocol.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.described import Described
from cellserve.models.description.empty_rows import answers_empty_rows
from cellserve.models.description.layers.stepwise import EmbeddingLayer
from cellserve.models.description.shapes import fewest_steps, required_steps
from cellserve.models.description.state_layout import StateColumns, StateLayout
from cellserve.models.description.step_counts import StepCount
from cellserve.models.description.step_model import StepModel
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.lease import LoadedVersion

LENGTHS: Final = "lengths"
MASK: Final = "mask"
STATE_PREFIX: Final = "state."
ANY: Final = -1  # a dimension of any size


@dataclass(frozen=True, slots=True)
class InputSignature:
    """features: [batch, time, width] float32; ids: [batch, time] integers in 0..vocabulary-1, or [batch, time, width], for which
    whole numbers in float32 will do; vector: [batch, width] float32.

    time_steps: that every row must have; None: any number. fewest_steps: that a row may have. multiple_of: that a row's must be.
    source: number of the first input
    that must have as many as this one. lengths_name: of the input that says how many each row has; None for a vector. Where all
    inputs are vectors, each is one step.
    """

    name: str
    kind: Literal["features", "ids", "vector"]
    width: int | None
    vocabulary: int | None
    time_steps: int | None
    fewest_steps: int = 1
    source: int = 0
    lengths_name: str | None = None
    multiple_of: int = 1

    @property
    def rank(self) -> int:
        """Dimensions, with the batch."""
        return 2 if self.kind == "vector" or self.width is None else 3

    @property
    def wide(self) -> tuple[int, ...]:
        """The features of each step, or of a vector; () for one id."""
        return () if self.width is None else (self.width,)

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch first and ANY for what may vary."""
        time = () if self.kind == "vector" else (self.time_steps or ANY,)
        return (ANY, *time, *(() if self.width is None else (self.width,)))

    @property
    def words(self) -> str:
        """The shape as an error message says it."""
        time = () if self.kind == "vector" else (str(self.time_steps or "time"),)
        return "[" + ", ".join(("batch", *time, *(() if self.width is None else (str(self.width),)))) + "]"


@dataclass(frozen=True, slots=True)
class OutputSignature:
    """A vector [batch, *features], or steps [batch, time, *features].

    time_steps: None where it follows from the row's own (`step_count`), else a number of the model's own (a decoder's).
    """

    name: str
    per_step: bool
    features: tuple[int, ...]
    time_steps: int | None
    step_count: StepCount

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch first and ANY for what may vary."""
        return (ANY, *((self.time_steps or ANY,) if self.per_step else ()), *self.features)


@dataclass(frozen=True, slots=True)
class Signature:
    """inputs, outputs: in the model's order. states: by the wire's name without prefix, "0.h"."""

    inputs: tuple[InputSignature, ...]
    outputs: tuple[OutputSignature, ...]
    output_names: tuple[str, ...]
    states: Mapping[str, StateColumns]
    state_width: int
    timed: int  # number of the first input that is a sequence; 0 where none is, and every row is one step
    dense: InputSignature | None  # the only input, if it is features of any number of steps
    maskable: bool = True  # whether a request may mask steps
    start: NDArray[np.float32] | None = None  # the states that a sequence begins with, [state_width]; None: zeros

    @classmethod
    def of(cls, spec: Described, shapes: Mapping[str, TensorShape], layout: StateLayout) -> Signature:
        """shapes: by tensor reference. layout: of the recurrent states."""
        inputs = _inputs(spec, shapes)
        fed = tuple(each.time_steps for each in inputs)
        return cls(
            inputs,
            tuple(_output(name, shapes[reference], fed) for name, reference in zip(spec.output_names(), spec.outputs)),
            spec.output_names(),
            {columns.key: columns for columns in layout.public},
            layout.width,
            next((number for number, each in enumerate(inputs) if each.kind != "vector"), 0),
            inputs[0] if len(inputs) == 1 and inputs[0].kind == "features" and _any_steps(inputs[0]) else None,
            not isinstance(spec, StepModel),
            layout.start,
        )

    def optional_inputs(self) -> tuple[str, ...]:
        """Names that a padded request may add."""
        lengths = [each.lengths_name for each in self.inputs if each.lengths_name is not None] or [LENGTHS]
        mask = (MASK,) if self.inputs[0].kind != "vector" and self.maskable else ()
        return (*lengths, *mask, *(STATE_PREFIX + key for key in self.states))


class Signatures:
    """Signatures of the versions in use, each made once. One whose description has changed is made anew."""

    def __init__(self) -> None:
        self._made: dict[VersionKey, tuple[Described, Signature]] = {}

    def of(self, version: LoadedVersion) -> Signature:
        made = self._made.get(version.key)
        if made is None or made[0] is not version.spec:
            signature = Signature.of(version.spec, version.shapes, version.state_layout)
            made = self._made[version.key] = (version.spec, signature)
        return made[1]

    def keep_only(self, keys: Container[VersionKey]) -> None:
        """Forget the signatures of all other versions."""
        self._made = {key: made for key, made in self._made.items() if key in keys}


def _any_steps(given: InputSignature) -> bool:
    return given.time_steps is None and given.multiple_of == 1


def _fed(model: StepModel) -> tuple[InputSignature, ...]:
    """All sequences have the steps of the first."""
    return tuple(
        InputSignature(
            name,
            entry.kind,
            entry.width,
            entry.vocabulary,
            None,
            1 if entry.kind == "vector" else model.fewest_steps,
            number if entry.kind == "vector" else model.timed,
            LENGTHS if number == model.timed else f"{LENGTHS}_{number}" if entry.kind != "vector" else None,
            1 if entry.kind == "vector" else model.multiple_of,
        )
        for number, (name, entry) in enumerate(zip(model.input_names(), model.inputs))
    )


def _inputs(spec: Described, shapes: Mapping[str, TensorShape]) -> tuple[InputSignature, ...]:
    if isinstance(spec, StepModel):
        return _fed(spec)
    required, fewest, empty = required_steps(spec), fewest_steps(spec), answers_empty_rows(spec)
    stepped = any(entry.kind != "vector" for entry in spec.inputs)
    made: list[InputSignature] = []
    for number, (name, entry) in enumerate(zip(spec.input_names(), spec.inputs)):
        readers = [layer for layer in spec.layers if isinstance(layer, EmbeddingLayer) and entry.name in layer.inputs]
        source = shapes[entry.name].step_count.source if entry.kind != "vector" else number
        lengths_name = None
        if entry.kind != "vector" or not stepped:
            lengths_name = f"{LENGTHS}_{number}" if any(each.lengths_name for each in made) else LENGTHS
        made.append(
            InputSignature(
                name,
                entry.kind,
                entry.width,
                min((layer.vocabulary for layer in readers), default=None),
                required[number] if stepped else 1,
                0 if empty and source == 0 else fewest[number],
                source,
                lengths_name,
            )
        )
    return tuple(made)


def _output(name: str, shape: TensorShape, fed: tuple[int | None, ...]) -> OutputSignature:
    """fed: the time steps of every row of each input, where the model fixes them."""
    known = shape.sequence and (shape.step_count.count is not None or fed[shape.step_count.source] is not None)
    time_steps = shape.step_count.steps(tuple(steps or 1 for steps in fed)) if known else None
    return OutputSignature(name, shape.sequence, shape.features, time_steps, shape.step_count)
