"""The layers of a description with windows over time and over a second axis, the bands of a spectrum: convolution and pooling.

Over time they are what those of windowed.py are; over the bands, whose number is fixed, margins are counted out. Knows no
weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal

from pydantic import NonNegativeInt, PositiveInt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Shapes
from cellserve.models.description.layers.windowed import Windowed
from cellserve.models.description.step_counts import Change, Window
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

Pair = tuple[PositiveInt, PositiveInt]  # over time, over the bands


class Planar(Windowed):
    """Of [batch, time, bands, channels]. `band_margin`: bands of zeros before and behind; `padding`: that over time."""

    strides: Pair = (1, 1)
    padding: Literal["valid", "same", "causal"] = "valid"
    band_margin: tuple[NonNegativeInt, NonNegativeInt] = (0, 0)

    feature_axes: ClassVar[int] = 2

    @property
    def reach(self) -> tuple[int, int]:
        """How many steps and bands a window reaches over, leaps included."""
        raise NotImplementedError

    @property
    def change(self) -> Change:
        return Window(self.reach[0], self.strides[0], self.padding)

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = super().output_shape(inputs)
        bands = (shape.features[0] + sum(self.band_margin) - self.reach[1]) // self.strides[1] + 1
        if bands < 1:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) needs {self.reach[1]} bands or more, and its input is {shape}")
        return replace(shape, features=(bands, shape.features[1]))


class Conv2dLayer(Planar):
    """activation(convolution over time and bands + b); `kernel_size`, `strides` and `dilation`: over time, over the bands."""

    kind: Literal["conv2d"] = "conv2d"
    units: PositiveInt
    kernel_size: Pair
    dilation: Pair = (1, 1)
    use_bias: bool = True
    activation: Activation = Activation(name="linear")

    @property
    def reach(self) -> tuple[int, int]:
        over_time, over_bands = ((size - 1) * leap + 1 for size, leap in zip(self.kernel_size, self.dilation))
        return over_time, over_bands

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = super().output_shape(inputs)
        return replace(shape, features=(shape.features[0], self.units))

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return {"kernel": (*self.kernel_size, *width, self.units)} | ({"bias": (self.units,)} if self.use_bias else {})


class Pooling2dLayer(Planar):
    """The maximum or average of each window; what stands around a row or the bands counts in neither."""

    kind: Literal["pooling_2d"] = "pooling_2d"
    mode: Literal["max", "average"]
    pool_size: Pair = (2, 2)
    strides: Pair = (2, 2)

    @property
    def reach(self) -> tuple[int, int]:
        return self.pool_size


KINDS: Final = (Conv2dLayer, Pooling2dLayer)
