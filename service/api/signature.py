"""What requests to one version look like on the wire: inputs, outputs and states by name, with their shapes.

Made once from a model's description and used by every request to it. Knows no values and no protocol.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cellserve.models.clock import Clock
from cellserve.models.shapes import TensorShape, minimum_time_steps, required_time_steps
from cellserve.models.spec import EmbeddingLayer, InputSpec, ModelSpec
from cellserve.models.state_layout import StateColumns, StateLayout
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.lease import LoadedVersion

LENGTHS: Final = "lengths"
MASK: Final = "mask"
STATE_PREFIX: Final = "state."
ANY: Final = -1  # a dimension of any size


@dataclass(frozen=True, slots=True)
class InputSignature:
    """features: [batch, time, width] float32; ids: [batch, time] integers in 0..vocabulary-1; vector: [batch, width] float32."""

    name: str
    kind: Literal["features", "ids", "vector"]
    width: int | None
    vocabulary: int | None
    time_steps: int | None

    @property
    def rank(self) -> int:
        """Dimensions, with the batch."""
        return 3 if self.kind == "features" else 2

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

    time_steps: None where it follows from the row's own (`clock`), else a number of the model's own (a decoder's).
    """

    name: str
    per_step: bool
    features: tuple[int, ...]
    time_steps: int | None
    clock: Clock

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
    time_steps: int | None  # that every row must have; None: any number
    fewest_steps: int  # that a row may have
    dense: InputSignature | None  # the only input, if it is features of any number of steps

    @classmethod
    def of(cls, spec: ModelSpec, shapes: Mapping[str, TensorShape], layout: StateLayout) -> Signature:
        """shapes: by tensor reference. layout: of the recurrent states."""
        time_steps = required_time_steps(spec)
        inputs = tuple(_input(name, entry, spec, time_steps) for name, entry in zip(spec.input_names(), spec.inputs))
        return cls(
            inputs,
            tuple(_output(name, shapes[reference], time_steps) for name, reference in zip(spec.output_names(), spec.outputs)),
            spec.output_names(),
            {columns.key: columns for columns in layout.public},
            layout.width,
            time_steps,
            minimum_time_steps(spec),
            inputs[0] if len(inputs) == 1 and inputs[0].kind == "features" and time_steps is None else None,
        )

    def optional_inputs(self) -> tuple[str, ...]:
        """Names that a padded request may add."""
        return (LENGTHS, MASK, *(STATE_PREFIX + key for key in self.states))


class Signatures:
    """Signatures of the versions in use, each made once. One whose description has changed is made anew."""

    def __init__(self) -> None:
        self._made: dict[VersionKey, tuple[ModelSpec, Signature]] = {}

    def of(self, version: LoadedVersion) -> Signature:
        made = self._made.get(version.key)
        if made is None or made[0] is not version.spec:
            signature = Signature.of(version.spec, version.shapes, version.state_layout)
            made = self._made[version.key] = (version.spec, signature)
        return made[1]

    def keep_only(self, keys: Container[VersionKey]) -> None:
        """Forget the signatures of all other versions."""
        self._made = {key: made for key, made in self._made.items() if key in keys}


def _input(name: str, entry: InputSpec, spec: ModelSpec, time_steps: int | None) -> InputSignature:
    vocabularies = [layer.vocabulary for layer in spec.layers if isinstance(layer, EmbeddingLayer) and entry.name in layer.inputs]
    return InputSignature(name, entry.kind, entry.width, min(vocabularies, default=None), time_steps)


def _output(name: str, shape: TensorShape, fed: int | None) -> OutputSignature:
    """fed: the time steps of every row, where the model fixes them."""
    known = shape.sequence and (fed is not None or shape.clock.count is not None)
    return OutputSignature(name, shape.sequence, shape.features, shape.clock.steps(fed or 1) if known else None, shape.clock)
