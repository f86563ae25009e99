"""The layers of a description that are parts of a foreign graph, run as they are: no known layer says what they compute.

A part is an ONNX model of one output. Its inputs are called x0, x1 … and are what the layer reads: [rows, steps, features], ids
[rows, steps] or vectors [rows, features]; its output y is [rows, steps, units] or [rows, units]. Its arrays of floats are weights
of the version, its other constants lie in it. Knows no runtime and no weights.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from cellserve.models.description.layers.layer import Layer, MaskFlow, Shapes
from cellserve.models.description.step_counts import Change, Window
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

LARGEST_PART_CHARACTERS: Final = 8 << 20
ArrayName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


class Carried(Layer):
    """`graph`: the model in base64. `constants`: the names and shapes of its arrays. `operators`: what it is made of, for people.

    `together`: whether rows may share a call. It is so only where that was seen to change no answer.
    """

    graph: Annotated[str, Field(min_length=1, max_length=LARGEST_PART_CHARACTERS)]
    constants: tuple[tuple[ArrayName, tuple[NonNegativeInt, ...]], ...] = ()
    units: PositiveInt
    operators: tuple[str, ...] = ()
    together: bool = False

    on_host: ClassVar[bool] = True

    @field_validator("graph")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        b64decode(value, validate=True)
        return value

    @property
    def content(self) -> bytes:
        return b64decode(self.graph)

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return dict(self.constants)

    def require_one_clock(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        """The first sequence that it reads. Raises InvalidSpec: sequences of different numbers of steps, or vectors alone."""
        sequences = [shape for shape in inputs if shape.sequence]
        if not sequences or not inputs[0].sequence:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes a sequence first, but its input is {inputs[0]}")
        if any(shape.step_count != sequences[0].step_count for shape in sequences):
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes sequences of equally many time steps")
        return sequences[0]


class CarriedStepsLayer(Carried):
    """A part of which each step comes of that step alone; of vectors, each row of that row."""

    kind: Literal["carried_steps"] = "carried_steps"

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        if not any(shape.sequence for shape in inputs):
            return TensorShape(False, (self.units,))
        if not all(shape.sequence for shape in inputs):
            raise InvalidSpec(f"layer {self.name!r} (carried_steps) takes sequences, or vectors, but not both")
        return replace(self.require_one_clock(inputs), features=(self.units,))


class CarriedRowsLayer(Carried):
    """A part that reads whole rows, and makes a sequence or a vector of each.

    Of a sequence, `size`, `strides` and `padding` say how many steps it has, as those of a convolution do. `fixed`: it runs at
    one number of steps only, which is that of the network's input.
    """

    kind: Literal["carried_rows"] = "carried_rows"
    makes: Literal["sequence", "vector"]
    size: PositiveInt = 1
    strides: PositiveInt = 1
    padding: Literal["valid", "same"] = "valid"
    fixed: bool = False

    takes_rows: ClassVar[bool] = True

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = self.require_one_clock(inputs)
        if self.makes == "vector":
            return TensorShape(False, (self.units,))
        steps = None if shape.time_steps is None else self.retimed.steps(shape.time_steps)
        if steps == 0:
            what = f"needs {self.retimed.needed(1)} time steps or more, and is given {shape.time_steps}"
            raise InvalidSpec(f"layer {self.name!r} (carried_rows) {what}")
        return TensorShape(True, (self.units,), steps, shape.step_count.then(self.retimed))

    @property
    def needs_fixed_steps(self) -> bool:
        return self.fixed

    @property
    def retimed(self) -> Change:
        return Window(self.size, self.strides, self.padding)

    @property
    def keeps_time(self) -> bool:
        return self.makes == "sequence"

    @property
    def mask_flow(self) -> MaskFlow:
        return "ends"

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return "is a part of a graph that is run over whole rows"


KINDS: Final = (CarriedStepsLayer, CarriedRowsLayer)
