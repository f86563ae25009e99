"""The layers of a description that lay a row out in time anew: convolution, pooling, steps put around it.

Each answers every row as if it were alone, at its own length, and knows no masks: a mask ends there. Knows no weights.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Final, Literal

from pydantic import NonNegativeInt, PositiveInt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer, MaskFlow, Shapes
from cellserve.models.description.step_counts import ONWARD, Change, Fill, Margin, Order, Window
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec


class Windowed(Layer):
    """Of [batch, time, features]; unless it says otherwise, the output has the features of the input."""

    feature_axes: ClassVar[int] = 1

    @property
    @abstractmethod
    def change(self) -> Change: ...

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape, change = self.require_features(self.require_sequence(self.only_input(inputs))), self.change
        if len(shape.features) != self.feature_axes:
            wanted = "[batch, time, features]" if self.feature_axes == 1 else "[batch, time, bands, channels]"
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes {wanted}, but its input is {shape}")
        steps = None if shape.time_steps is None else change.steps(shape.time_steps)
        if steps == 0:
            raise InvalidSpec(
                f"layer {self.name!r} ({self.kind}) needs {change.needed(1)} time steps or more, and is given {shape.time_steps}"
            )
        return replace(shape, time_steps=steps, step_count=shape.step_count.then(change))

    @property
    def order(self) -> Order:
        return ONWARD if self.change.keeps_each_step else self.change

    @property
    def mask_flow(self) -> MaskFlow:
        return "ends"

    def why_not_causal(self, *, over_time: bool) -> str | None:
        return None if self.change.keeps_each_step else self.change.effect


class Conv1dLayer(Windowed):
    """activation(convolution over time + b): window t sees the steps t strides - before … in leaps of `dilation`.

    `padding`: "valid" takes whole windows only; "same" puts zeros around each row so that ceil(steps / strides) windows fit,
    the odd zero behind; "causal" puts all zeros before. A row answers as if it were alone, at its own length.
    """

    kind: Literal["conv1d"] = "conv1d"
    units: PositiveInt
    kernel_size: PositiveInt
    strides: PositiveInt = 1
    dilation: PositiveInt = 1
    padding: Literal["valid", "same", "causal"] = "valid"
    use_bias: bool = True
    activation: Activation = Activation(name="linear")

    @property
    def change(self) -> Change:
        return Window((self.kernel_size - 1) * self.dilation + 1, self.strides, self.padding)

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return replace(super().output_shape(inputs), features=(self.units,))

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return {"kernel": (self.kernel_size, *width, self.units)} | ({"bias": (self.units,)} if self.use_bias else {})


class Pooling1dLayer(Windowed):
    """The maximum or average of each window of steps; what `padding` "same" adds to a row counts in neither."""

    kind: Literal["pooling_1d"] = "pooling_1d"
    mode: Literal["max", "average"]
    pool_size: PositiveInt = 2
    strides: PositiveInt = 2
    padding: Literal["valid", "same"] = "valid"

    @property
    def change(self) -> Change:
        return Window(self.pool_size, self.strides, self.padding)


class Padding1dLayer(Windowed):
    """`before` and `after` steps around each row.

    `fill`: zeros; reflect, the row's own steps mirrored at its first and its last one, which are not repeated; edge, these two
    again and again.
    """

    kind: Literal["padding_1d"] = "padding_1d"
    before: NonNegativeInt = 1
    after: NonNegativeInt = 1
    fill: Fill = "zeros"

    @property
    def change(self) -> Change:
        return Margin(self.before, self.after, self.fill)


class Cropping1dLayer(Windowed):
    """Each row without its first `before` and its last `after` steps."""

    kind: Literal["cropping_1d"] = "cropping_1d"
    before: NonNegativeInt = 1
    after: NonNegativeInt = 1

    @property
    def change(self) -> Change:
        return Margin(-self.before, -self.after)


KINDS: Final = (Conv1dLayer, Pooling1dLayer, Padding1dLayer, Cropping1dLayer)
