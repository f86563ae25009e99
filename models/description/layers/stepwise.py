"""The layers of a description that work step by step: each step of the output comes of that step of the input alone.

Knows no weights and no files.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import ClassVar, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer, MaskFlow, Shapes
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec


class Stepwise(Layer):
    """Of a sequence or a vector; unless it says otherwise, the output has the shape of the input."""

    cheap: ClassVar[bool] = True

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return self.require_features(self.only_input(inputs))


class EmbeddingLayer(Stepwise):
    """Integer ids [B,T] to rows of a table [vocabulary, units]; `mask_zero` masks id 0. Several ids at a step: a row each."""

    kind: Literal["embedding"] = "embedding"
    vocabulary: PositiveInt
    units: PositiveInt
    mask_zero: bool = False

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = self.require_sequence(self.only_input(inputs))
        if shape.features and not shape.ids:
            raise InvalidSpec(f"layer {self.name!r} (embedding) takes ids [batch, time], but its input is {shape}")
        if shape.features and self.mask_zero:
            raise InvalidSpec(f"layer {self.name!r} (embedding) masks ids, and of several at each step, {shape}, it cannot")
        return replace(shape, features=(*shape.features, self.units), ids=False)

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return {"table": (self.vocabulary, self.units)}

    @property
    def mask_flow(self) -> MaskFlow:
        return "begins" if self.mask_zero else "all"


class DenseLayer(Stepwise):
    """activation(x W + b) on the last axis: of every step of a sequence (TimeDistributed(Dense) too), or of a vector."""

    kind: Literal["dense"] = "dense"
    units: PositiveInt
    use_bias: bool = True
    activation: Activation = Activation(name="linear")

    cheap: ClassVar[bool] = False

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = super().output_shape(inputs)
        return replace(shape, features=(*shape.features[:-1], self.units))

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return {"kernel": (*width, self.units)} | ({"bias": (self.units,)} if self.use_bias else {})


class ActivationLayer(Stepwise):
    kind: Literal["activation"] = "activation"
    activation: Activation


class PReluLayer(Stepwise):
    """x above zero, alpha x below, with one trained alpha for each feature."""

    kind: Literal["prelu"] = "prelu"

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return {"alpha": width}


class DropoutLayer(Stepwise):
    """Acts only in training; kept so that the description names every layer of the file.

    `scale`: what it multiplies by outside training: 1, but 1 - rate in Keras 0.1 and 0.2.
    """

    kind: Literal["dropout"] = "dropout"
    rate: float
    scale: float = 1.0


class BatchNormalizationLayer(Stepwise):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta with the trained statistics, on the last axis."""

    kind: Literal["batch_normalization"] = "batch_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return _affine(self, width) | {"moving_mean": width, "moving_variance": width}


class LayerNormalizationLayer(Stepwise):
    """The same with the mean and variance of each vector itself."""

    kind: Literal["layer_normalization"] = "layer_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return _affine(self, width)


class UnitNormalizationLayer(Stepwise):
    """Each vector over its Euclidean length, which counts as `epsilon` where it is smaller: of zeros it makes zeros."""

    kind: Literal["unit_normalization"] = "unit_normalization"
    epsilon: PositiveFloat = 1e-12


class ReshapeLayer(Stepwise):
    """The features of each step, or of a vector, laid out in other axes.

    `axes`: of features that go in, which `permutation` first puts in another order.
    """

    kind: Literal["reshape"] = "reshape"
    features: tuple[PositiveInt, ...] = Field(min_length=1)
    axes: PositiveInt = 1
    permutation: tuple[NonNegativeInt, ...] | None = None

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape, order = super().output_shape(inputs), self.permutation
        if len(shape.features) != self.axes or prod(shape.features) != prod(self.features):
            raise InvalidSpec(
                f"layer {self.name!r} (reshape) cannot lay out {self.axes} axes of {shape} as {list(self.features)}"
            )
        if order is not None and sorted(order) != list(range(self.axes)):
            raise InvalidSpec(f"layer {self.name!r} (reshape): {list(order)} is no order of {self.axes} axes")
        return replace(shape, features=self.features)


class MaskingLayer(Stepwise):
    """Masks the steps whose features all equal `mask_value`, and multiplies those features by 0."""

    kind: Literal["masking"] = "masking"
    mask_value: float = 0.0

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        return self.require_one_axis(self.require_sequence(self.only_input(inputs)))

    @property
    def mask_flow(self) -> MaskFlow:
        return "begins"


def _affine(layer: BatchNormalizationLayer | LayerNormalizationLayer, width: tuple[int, ...]) -> Shapes:
    return ({"gamma": width} if layer.scale else {}) | ({"beta": width} if layer.center else {})


KINDS: Final = (
    EmbeddingLayer,
    DenseLayer,
    ActivationLayer,
    PReluLayer,
    DropoutLayer,
    BatchNormalizationLayer,
    LayerNormalizationLayer,
    UnitNormalizationLayer,
    ReshapeLayer,
    MaskingLayer,
)
