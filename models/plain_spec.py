"""The layers of a description that are not recurrent: step by step, over windows of time, over all of it, or joining tensors.

Knows no weights and no files.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from cellserve.models.layer_spec import Activation, Layer


class EmbeddingLayer(Layer):
    """Integer ids [B,T] to rows of a table [vocabulary, units]; `mask_zero` masks id 0."""

    kind: Literal["embedding"] = "embedding"
    vocabulary: PositiveInt
    units: PositiveInt
    mask_zero: bool = False


class DenseLayer(Layer):
    """activation(x W + b) on the last axis: of every step of a sequence (TimeDistributed(Dense) too), or of a vector."""

    kind: Literal["dense"] = "dense"
    units: PositiveInt
    use_bias: bool = True
    activation: Activation = Activation(name="linear")


class ActivationLayer(Layer):
    kind: Literal["activation"] = "activation"
    activation: Activation


class PReluLayer(Layer):
    """x above zero, alpha x below, with one trained alpha for each feature."""

    kind: Literal["prelu"] = "prelu"


class DropoutLayer(Layer):
    """Acts only in training; kept so that the description names every layer of the file.

    `scale`: what it multiplies by outside training: 1, but 1 - rate in Keras 0.1 and 0.2.
    """

    kind: Literal["dropout"] = "dropout"
    rate: float
    scale: float = 1.0


class BatchNormalizationLayer(Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta with the trained statistics, on the last axis."""

    kind: Literal["batch_normalization"] = "batch_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True


class LayerNormalizationLayer(Layer):
    """The same with the mean and variance of each vector itself."""

    kind: Literal["layer_normalization"] = "layer_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True


class UnitNormalizationLayer(Layer):
    """Each vector over its Euclidean length, which counts as `epsilon` where it is smaller: of zeros it makes zeros."""

    kind: Literal["unit_normalization"] = "unit_normalization"
    epsilon: PositiveFloat = 1e-12


class MaskingLayer(Layer):
    """Masks the steps whose features all equal `mask_value`, and multiplies those features by 0."""

    kind: Literal["masking"] = "masking"
    mask_value: float = 0.0


class ReverseLayer(Layer):
    """Turns each row round in time, within the row's own length."""

    kind: Literal["reverse"] = "reverse"


class LastStepLayer(Layer):
    """The last step of each row, at the row's own length: [B,T,F] to [B,F]."""

    kind: Literal["last_step"] = "last_step"


class Conv1dLayer(Layer):
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


class Pooling1dLayer(Layer):
    """The maximum or average of each window of steps; what `padding` "same" adds to a row counts in neither."""

    kind: Literal["pooling_1d"] = "pooling_1d"
    mode: Literal["max", "average"]
    pool_size: PositiveInt = 2
    strides: PositiveInt = 2
    padding: Literal["valid", "same"] = "valid"


class GlobalPooling1dLayer(Layer):
    """The maximum or average of all steps: [B,T,F] to [B,F]. The average is that of the valid steps (NaN where none is)."""

    kind: Literal["global_pooling_1d"] = "global_pooling_1d"
    mode: Literal["max", "average"]


class Padding1dLayer(Layer):
    """`before` and `after` steps of zeros around each row."""

    kind: Literal["padding_1d"] = "padding_1d"
    before: NonNegativeInt = 1
    after: NonNegativeInt = 1


class MergeLayer(Layer):
    """Several tensors of one shape (concat: of one rank) into one. subtract: the first less the second.

    counts_where: a step counts where it does in all inputs that have masks, in any input (one without a mask counts at every
    step), or always. With "any", multiply, maximum and minimum leave out the inputs that do not count at a step; where none
    does, a product is zeros, and the others are the first input.
    """

    kind: Literal["merge"] = "merge"
    mode: Literal["concat", "sum", "multiply", "average", "subtract", "maximum", "minimum"]
    counts_where: Literal["all", "any", "always"] = "all"


class FlattenLayer(Layer):
    """[B,T,F] to [B, T F]; the model's time dimension must be fixed."""

    kind: Literal["flatten"] = "flatten"


class RepeatVectorLayer(Layer):
    """[B,F] to [B,count,F]: the start of a decoder's pass."""

    kind: Literal["repeat_vector"] = "repeat_vector"
    count: PositiveInt


PlainLayer = Annotated[
    EmbeddingLayer
    | DenseLayer
    | ActivationLayer
    | PReluLayer
    | DropoutLayer
    | BatchNormalizationLayer
    | LayerNormalizationLayer
    | UnitNormalizationLayer
    | MaskingLayer
    | ReverseLayer
    | LastStepLayer
    | Conv1dLayer
    | Pooling1dLayer
    | GlobalPooling1dLayer
    | Padding1dLayer
    | MergeLayer
    | FlattenLayer
    | RepeatVectorLayer,
    Field(discriminator="kind"),
]
