"""What a step model is: a graph each call of which takes a feed and the last call's states, and gives answers and new states.

The graph itself lies beside this description as bytes (`models/steps/`); here is which of its inputs are fed, which are states
and which constants, and what each axis means. Two kinds: where no input has an axis of time, a call takes one frame, which is
what requests count as a time step; otherwise a call takes a whole feed, as long as it comes. Decided without the graph: knows
no onnxruntime, no bytes, no values.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Final, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from cellserve.models.description.layers.activation import Frozen
from cellserve.models.description.step_counts import StepCount, Window
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

Axis = Literal["batch", "time"] | NonNegativeInt
Dtype = Literal[
    "float32", "float16", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"
]  # fmt: skip

NARROW: Final = ("float32", "float16", "bool", "int8", "int16", "uint8", "uint16")
"""Types whose every number is one of float32, too."""

LIMB_BITS: Final = 16
_BITS: Final = {"float64": 64, "int32": 32, "int64": 64, "uint32": 32, "uint64": 64}


class StepTensor(Frozen):
    """An input or output of the graph. `axes`: of each axis its size, or what it means."""

    name: Annotated[str, Field(min_length=1)]
    dtype: Dtype = "float32"
    axes: tuple[Axis, ...]

    @property
    def features(self) -> tuple[int, ...]:
        """The sizes of the axes that mean neither rows nor time."""
        return tuple(axis for axis in self.axes if isinstance(axis, int))

    @property
    def size(self) -> int:
        """Numbers of one row and, where there is an axis of time, of one step of it."""
        return prod(self.features)

    def place(self, meaning: Literal["batch", "time"]) -> int | None:
        return self.axes.index(meaning) if meaning in self.axes else None

    @model_validator(mode="after")
    def _each_meaning_once(self) -> Self:
        if self.axes.count("batch") > 1 or self.axes.count("time") > 1:
            raise InvalidSpec(f"{self.name!r} has two axes of one meaning: {list(self.axes)}")
        return self


class StepInput(StepTensor):
    """What a request feeds.

    kind: as of an InputSpec; `vector`: the same for all of a feed, such as a sample rate. `context`: so many of the last values
    of the feed before, on `context_axis`, stand before those of this one; zeros at first. vocabulary: of ids, where it is known.
    tried_with: of a vector, the number that the graph was seen to run with.
    """

    kind: Literal["features", "ids", "vector"] = "features"
    context: NonNegativeInt = 0
    context_axis: NonNegativeInt = 0
    vocabulary: PositiveInt | None = None
    tried_with: float = 0.0

    @property
    def width(self) -> int | None:
        return None if self.kind == "ids" else self.size

    @property
    def context_size(self) -> int:
        """Numbers of one row's context."""
        axes = [axis for place, axis in enumerate(self.axes) if place != self.context_axis and isinstance(axis, int)]
        return self.context * prod(axes)


class StepState(StepTensor):
    """An input of the graph that is the last call's `output`. `initial`: at a start, one number or all of them, in order."""

    output: Annotated[str, Field(min_length=1)]
    initial: float | tuple[float, ...] = 0.0

    @property
    def columns(self) -> int:
        """Numbers of float32 that it takes: one each, or one for every 16 bits where float32 does not have all of its numbers."""
        return self.size * (_BITS[self.dtype] // LIMB_BITS if self.dtype in _BITS else 1)

    @model_validator(mode="after")
    def _initial_fits(self) -> Self:
        if isinstance(self.initial, tuple) and len(self.initial) != self.size:
            raise InvalidSpec(f"the state {self.name!r} has {self.size} numbers, and {len(self.initial)} are given to start with")
        return self


class StepConstant(StepTensor):
    """An input of the graph that is the same in every call."""

    values: tuple[float | int | bool, ...]


class StepOutput(StepTensor):
    """What a call answers. `window`: where it has an axis of time, how its steps follow from a feed's; None: one for one."""

    window: tuple[int, PositiveInt] | None = None
    """(size, stride): so many windows as fit; a size of 0 or less stands for steps that the graph itself puts around a feed."""

    def step_count(self, source: int) -> StepCount:
        """source: number of the input whose steps count."""
        return StepCount(None, () if self.window is None else (Window(*self.window, "valid"),), source)


class StepModel(Frozen):
    """`batched`: whether rows of equal shape may share a call; else each has calls of its own. `parameters`: of the graph.

    Where calls take whole feeds: `fewest_steps` and `multiple_of`, which a feed's steps must be, `tried_steps`, of feeds that the
    graph was seen to run at.

    Raises (through pydantic's ValidationError): names that come twice, sizes that do not fit.
    """

    kind: Literal["step"] = "step"
    schema_version: Literal[1] = 1
    inputs: tuple[StepInput, ...] = Field(min_length=1)
    states: tuple[StepState, ...] = Field(min_length=1)
    constants: tuple[StepConstant, ...] = ()
    answers: tuple[StepOutput, ...] = Field(min_length=1)
    batched: bool
    parameters: NonNegativeInt = 0
    fewest_steps: PositiveInt = 1
    multiple_of: PositiveInt = 1
    tried_steps: tuple[PositiveInt, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [tensor.name for tensor in (*self.inputs, *self.states, *self.constants)]
        made = [*(output.name for output in self.answers), *(state.output for state in self.states)]
        for twice in (names, made):
            if len(set(twice)) < len(twice):
                raise InvalidSpec("an input or output of the graph is named twice")
        if all(entry.kind == "vector" for entry in self.inputs):
            raise InvalidSpec("nothing is fed but constants")
        for entry in self.inputs:
            if self.whole_feeds and (entry.kind == "vector") == ("time" in entry.axes):
                raise InvalidSpec(f"the axis of time of {entry.name!r} and its kind, {entry.kind}, contradict each other")
        if self.whole_feeds and not self.tried_steps:
            raise InvalidSpec("it takes whole feeds, and at how many steps is not said")
        return self

    @property
    def whole_feeds(self) -> bool:
        """Whether a call takes a feed of any length; else it takes a frame, and a feed is one or several."""
        return any("time" in entry.axes for entry in self.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.answers)

    @property
    def layers(self) -> tuple[()]:
        """None: what the graph is made of is nobody's business."""
        return ()

    def input_names(self) -> tuple[str, ...]:
        """Names on the wire: inputs, inputs_1, inputs_2 …"""
        return tuple("inputs" if i == 0 else f"inputs_{i}" for i in range(len(self.inputs)))

    def output_names(self) -> tuple[str, ...]:
        """Names on the wire: outputs, outputs_1, outputs_2 …"""
        return tuple("outputs" if i == 0 else f"outputs_{i}" for i in range(len(self.answers)))

    @property
    def timed(self) -> int:
        """Number of the first input that is a sequence; all that are have equally many steps."""
        return next(number for number, entry in enumerate(self.inputs) if entry.kind != "vector")

    def shapes(self) -> dict[str, TensorShape]:
        """Of inputs and outputs, as requests give and get them."""
        made: dict[str, TensorShape] = {}
        for entry in self.inputs:
            features = () if entry.width is None else (entry.width,)
            made[entry.name] = TensorShape(entry.kind != "vector", features, None, StepCount(source=self.timed))
        for output in self.answers:
            sequence = not self.whole_feeds or "time" in output.axes
            made[output.name] = TensorShape(sequence, output.features, None, output.step_count(self.timed))
        return made
