"""The layers of a description that programs make spectra with, step by step: more bands around those there are, and magnitudes.

Knows no weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from cellserve.models.description.layers.stepwise import Stepwise
from cellserve.models.description.step_counts import Fill, Margin
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec


class BandPaddingLayer(Stepwise):
    """[B,T,bands,channels] with `before` and `after` bands more around those of each step; `fill`: as in Padding1dLayer."""

    kind: Literal["band_padding"] = "band_padding"
    before: NonNegativeInt = 0
    after: NonNegativeInt = 0
    fill: Fill = "zeros"

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape, margin = super().output_shape(inputs), Margin(self.before, self.after, self.fill)
        bands = shape.features[0]
        if len(shape.features) != 2:
            raise InvalidSpec(
                f"layer {self.name!r} (band_padding) takes [batch, time, bands, channels], but its input is {shape}"
            )
        if bands < margin.needed(1):
            raise InvalidSpec(
                f"layer {self.name!r} (band_padding) mirrors {max(self.before, self.after)} bands beside the outermost, and its "
                f"input is {shape}"
            )
        return replace(shape, features=(margin.steps(bands), *shape.features[1:]))


class MagnitudeLayer(Stepwise):
    """sqrt(re^2 + im^2 + epsilon), without the root if `power` is 2; the last axis is all real parts, then all imaginary ones."""

    kind: Literal["magnitude"] = "magnitude"
    power: Literal[1, 2] = 1
    epsilon: NonNegativeFloat = 0.0

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = super().output_shape(inputs)
        if shape.features[-1] % 2:
            what = "takes as many real as imaginary parts along the last axis"
            raise InvalidSpec(f"layer {self.name!r} (magnitude) {what}, and its input is {shape}")
        return replace(shape, features=(*shape.features[:-1], shape.features[-1] // 2))


KINDS: Final = (BandPaddingLayer, MagnitudeLayer)
