"""The layers of a description that read a row otherwise than step by step, or as a whole, or begin one. Knows no weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar, Final, Literal

from pydantic import PositiveInt

from cellserve.models.description.layers.layer import Layer, MaskFlow
from cellserve.models.description.step_counts import TURNED, Order, StepCount
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec


class ReverseLayer(Layer):
    """Turns each row round in time, within the row's own length."""

    kind: Literal["reverse"] = "reverse"

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return self.require_sequence(self.only_input(inputs))

    @property
    def order(self) -> Order:
        return TURNED

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return "turns the sequence round"


class _EndsTime(Layer):
    """What it makes has other time steps, or none."""

    @property
    def keeps_time(self) -> bool:
        return False

    @property
    def mask_flow(self) -> MaskFlow:
        return "ends"


class _WholeRows(_EndsTime):
    """Takes all time steps together."""

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return "needs all time steps at once" if over_time else None


class LastStepLayer(_EndsTime):
    """The last step of each row, at the row's own length: [B,T,F] to [B,F]."""

    kind: Literal["last_step"] = "last_step"

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return TensorShape(False, self.require_features(self.require_sequence(self.only_input(inputs))).features)


class GlobalPooling1dLayer(_WholeRows):
    """The maximum, average or sum of all steps: [B,T,F] to [B,F].

    The average is that of the valid steps (NaN where none is), and so is the sum.
    """

    kind: Literal["global_pooling_1d"] = "global_pooling_1d"
    mode: Literal["max", "average", "sum"]

    sums_up: ClassVar[bool] = True

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return TensorShape(False, self.require_one_axis(self.require_sequence(self.only_input(inputs))).features)

    @property
    def heeds_mask(self) -> bool:
        return self.mode != "max"


class AttentionPooling1dLayer(_WholeRows):
    """The mean of the valid steps, weighted by the softmax of their scores over time: [B,T,F+heads] to [B,heads F].

    The last `heads` features are the scores, of which each weighs the F before them; NaN where no step is valid.
    """

    kind: Literal["attention_pooling_1d"] = "attention_pooling_1d"
    heads: PositiveInt = 1

    sums_up: ClassVar[bool] = True

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = self.require_features(self.require_sequence(self.only_input(inputs)))
        if len(shape.features) != 1 or shape.features[0] <= self.heads:
            what = f"takes features and then {self.heads} scores, but its input is {shape}"
            raise InvalidSpec(f"layer {self.name!r} (attention_pooling_1d) {what}")
        return TensorShape(False, (self.heads * (shape.features[0] - self.heads),))

    @property
    def heeds_mask(self) -> bool:
        return True


class FlattenLayer(_WholeRows):
    """[B,T,F] to [B, T F]; the model's time dimension must be fixed."""

    kind: Literal["flatten"] = "flatten"

    @property
    def needs_fixed_steps(self) -> bool:
        return True

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = self.require_features(self.only_input(inputs))
        if not shape.sequence:
            return TensorShape(False, (prod(shape.features),))
        if shape.time_steps is None:
            raise InvalidSpec(f"layer {self.name!r} (flatten) needs a fixed number of time steps, but its input is {shape}")
        return TensorShape(False, (shape.time_steps * prod(shape.features),))


class _FromVector(_EndsTime):
    """Makes the sequence that a second pass begins with."""

    repeats: ClassVar[bool] = True

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return "starts a second pass from a vector"


class RepeatVectorLayer(_FromVector):
    """[B,F] to [B,count,F]: the start of a decoder's pass; without a count, for each step of a second input."""

    kind: Literal["repeat_vector"] = "repeat_vector"
    count: PositiveInt | None = None

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        vector = self.only_input(inputs) if self.count is not None else inputs[0]
        if vector.sequence:
            raise InvalidSpec(f"layer {self.name!r} (repeat_vector) takes a vector, but its input is a sequence {vector}")
        if self.count is not None:
            return TensorShape(True, vector.features, self.count, StepCount(self.count))
        if len(inputs) != 2:
            raise InvalidSpec(f"layer {self.name!r} (repeat_vector) needs a count, or a sequence as its second input")
        return replace(self.require_sequence(inputs[1]), features=vector.features)


class UnflattenLayer(_FromVector):
    """[B, steps F] to [B,steps,F]: a vector laid out in time, step after step, or (`time_last`) one step's numbers apart."""

    kind: Literal["unflatten"] = "unflatten"
    steps: PositiveInt
    time_last: bool = False

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        vector = self.require_features(self.only_input(inputs))
        numbers = prod(vector.features)
        if vector.sequence:
            raise InvalidSpec(f"layer {self.name!r} (unflatten) takes a vector, but its input is a sequence {vector}")
        if numbers % self.steps:
            raise InvalidSpec(f"layer {self.name!r} (unflatten) cannot lay {numbers} numbers out in {self.steps} time steps")
        return TensorShape(True, (numbers // self.steps,), self.steps, StepCount(self.steps))


KINDS: Final = (
    ReverseLayer,
    LastStepLayer,
    GlobalPooling1dLayer,
    AttentionPooling1dLayer,
    FlattenLayer,
    RepeatVectorLayer,
    UnflattenLayer,
)
