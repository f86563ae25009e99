"""What a network is: a directed graph of layers, usually a chain. A frozen, exact, JSON-round-trip description.

Canonical by construction: every importer translates its framework's classes, defaults and quirks into these layers, so
nothing downstream knows which framework wrote the file. Two translations carry most of the weight:

* Bidirectional(RNN) is two recurrent layers over the same input, the second with `go_backwards`, its output (if it is a
  sequence) turned round by a ReverseLayer, then a MergeLayer. So a network is a list of passes, each causal in its own direction.
* What a framework does at a masked step is the layer's `mask_rule`, decided by the importer from the file's era.

A tensor reference is a layer's or an input's name ("lstm_1"), or a recurrent layer's final state ("lstm_1:h", "lstm_1:c").
Knows no weights, no torch, no file formats.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from cellserve.models.errors import InvalidSpec

SCHEMA_VERSION: Final = 1

ActivationName = Literal[
    "linear",
    "tanh",
    "sigmoid",
    "hard_sigmoid",  # clip(0.2 x + 0.5, 0, 1): Theano, Keras 0-2, tf.keras
    "hard_sigmoid_relu6",  # relu6(x + 3) / 6: Keras 3, torch
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "softmax",
    "softplus",
    "softsign",
    "exponential",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "log_sigmoid",
    "hard_tanh",
    "hard_silu",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "squareplus",
]

MaskRule = Literal[
    "repeat",  # masked step: state kept, previous output repeated; zeros before the first valid step
    "repeat_from_state",  # the same, but before the first valid step the carried h is the output (Keras 1.0.8-2.2 on TensorFlow)
    "zero",  # masked step: state kept, output zero
]

Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Activation(_Frozen):
    """A named elementwise function (softmax: over the last axis); `alpha` is its slope or scale where it has one."""

    name: ActivationName
    alpha: float | None = None

    @classmethod
    def of(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class _Layer(_Frozen):
    name: Annotated[str, Field(min_length=1, pattern=r"^[^:]+$")]
    inputs: tuple[str, ...] = Field(min_length=1)

    @field_validator("activation", "recurrent_activation", mode="before", check_fields=False)
    @classmethod
    def _activation_by_name(cls, value: object) -> object:
        return Activation.of(value)


class _Recurrent(_Layer):
    """Inputs: the sequence [B,T,F], then optionally the initial states in the order of `state_names`, each [B,units]."""

    units: PositiveInt
    activation: Activation = Activation(name="tanh")
    use_bias: bool = True
    return_sequences: bool = False
    go_backwards: bool = False
    mask_rule: MaskRule = "repeat"
    stateful: bool = False  # as the file says; a request without a session starts from zeros all the same

    @property
    def output_units(self) -> int:
        return self.units

    @property
    def state_widths(self) -> dict[str, int]:
        return {"h": self.output_units}


class LstmLayer(_Recurrent):
    """i,f,o = recurrent_activation(x W + h U + b); c' = f c + i activation(..); h' = o activation(c') [projected by P].

    `peepholes`: before their activation, i and f also get a vector times c, and o one times c'. `cell_clip` bounds c' and
    `projection_clip` the projected h' to ± itself (TensorFlow 1's LSTMCell).
    """

    kind: Literal["lstm"] = "lstm"
    recurrent_activation: Activation = Activation(name="sigmoid")
    projection_units: PositiveInt | None = None
    peepholes: bool = False
    cell_clip: Bound | None = None
    projection_clip: Bound | None = None

    @model_validator(mode="after")
    def _clips_what_exists(self) -> Self:
        if self.projection_clip is not None and self.projection_units is None:
            raise InvalidSpec(f"layer {self.name!r}: projection_clip bounds a projection, and there are no projection_units")
        return self

    @property
    def output_units(self) -> int:
        return self.projection_units or self.units

    @property
    def state_widths(self) -> dict[str, int]:
        return {"h": self.output_units, "c": self.units}


class GruLayer(_Recurrent):
    """z,r = recurrent_activation(..); h' = z h + (1 - z) candidate. `reset_after`: the reset gate acts after the product."""

    kind: Literal["gru"] = "gru"
    recurrent_activation: Activation = Activation(name="sigmoid")
    reset_after: bool = False


class SimpleRnnLayer(_Recurrent):
    """h' = activation(x W + h U + b)."""

    kind: Literal["simple_rnn"] = "simple_rnn"


class EmbeddingLayer(_Layer):
    """Integer ids [B,T] to rows of a table [vocabulary, units]; `mask_zero` masks id 0."""

    kind: Literal["embedding"] = "embedding"
    vocabulary: PositiveInt
    units: PositiveInt
    mask_zero: bool = False


class DenseLayer(_Layer):
    """activation(x W + b) on the last axis: of every step of a sequence (TimeDistributed(Dense) too), or of a vector."""

    kind: Literal["dense"] = "dense"
    units: PositiveInt
    use_bias: bool = True
    activation: Activation = Activation(name="linear")


class ActivationLayer(_Layer):
    kind: Literal["activation"] = "activation"
    activation: Activation


class DropoutLayer(_Layer):
    """Acts only in training; kept so that the description names every layer of the file."""

    kind: Literal["dropout"] = "dropout"
    rate: float


class BatchNormalizationLayer(_Layer):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta with the trained statistics, on the last axis."""

    kind: Literal["batch_normalization"] = "batch_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True


class LayerNormalizationLayer(_Layer):
    """The same with the mean and variance of each vector itself."""

    kind: Literal["layer_normalization"] = "layer_normalization"
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True


class MaskingLayer(_Layer):
    """Masks the steps whose features all equal `mask_value`, and multiplies those features by 0."""

    kind: Literal["masking"] = "masking"
    mask_value: float = 0.0


class ReverseLayer(_Layer):
    """Turns each row round in time, within the row's own length."""

    kind: Literal["reverse"] = "reverse"


class LastStepLayer(_Layer):
    """The last step of each row, at the row's own length: [B,T,F] to [B,F]."""

    kind: Literal["last_step"] = "last_step"


class MergeLayer(_Layer):
    """Several tensors of one shape (concat: of one rank) into one."""

    kind: Literal["merge"] = "merge"
    mode: Literal["concat", "sum", "multiply", "average"]


class FlattenLayer(_Layer):
    """[B,T,F] to [B, T F]; the model's time dimension must be fixed."""

    kind: Literal["flatten"] = "flatten"


class RepeatVectorLayer(_Layer):
    """[B,F] to [B,count,F]: the start of a decoder's pass."""

    kind: Literal["repeat_vector"] = "repeat_vector"
    count: PositiveInt


RecurrentLayer = LstmLayer | GruLayer | SimpleRnnLayer

LayerSpec = Annotated[
    LstmLayer
    | GruLayer
    | SimpleRnnLayer
    | EmbeddingLayer
    | DenseLayer
    | ActivationLayer
    | DropoutLayer
    | BatchNormalizationLayer
    | LayerNormalizationLayer
    | MaskingLayer
    | ReverseLayer
    | LastStepLayer
    | MergeLayer
    | FlattenLayer
    | RepeatVectorLayer,
    Field(discriminator="kind"),
]


class InputSpec(_Frozen):
    """One input of the network.

    kind `features`: float sequence [B,T,width]; `ids`: integer sequence [B,T]; `vector`: [B,width] (an initial state).
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[^:]+$")]
    kind: Literal["features", "ids", "vector"] = "features"
    width: PositiveInt | None = None  # None exactly for ids
    time_steps: PositiveInt | None = None  # as fixed in the file; binding only where a layer needs it (Flatten)

    @model_validator(mode="after")
    def _width_fits_kind(self) -> Self:
        if (self.width is None) != (self.kind == "ids"):
            raise InvalidSpec(f"input {self.name!r}: ids have no width, every other kind needs one")
        return self


class ModelSpec(_Frozen):
    """A network: its inputs, its layers in an order in which each one's inputs come before it, and its outputs.

    Raises (through pydantic's ValidationError): references to tensors that do not exist or come later, duplicate names.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    outputs: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        known: set[str] = set()
        for entry in self.inputs:
            if entry.name in known:
                raise InvalidSpec(f"two inputs are named {entry.name!r}")
            known.add(entry.name)
        for layer in self.layers:
            for reference in layer.inputs:
                if reference not in known:
                    raise InvalidSpec(f"layer {layer.name!r} reads {reference!r}, which no earlier layer or input makes")
            if layer.name in known:
                raise InvalidSpec(f"two tensors are named {layer.name!r}")
            known.add(layer.name)
            if isinstance(layer, RecurrentLayer):
                known.update(f"{layer.name}:{state}" for state in layer.state_widths)
        for reference in self.outputs:
            if reference not in known:
                raise InvalidSpec(f"the output {reference!r} is made by no layer")
        return self

    @property
    def recurrent_layers(self) -> tuple[RecurrentLayer, ...]:
        """In the order that numbers the wire names `state.<i>.*`: topological, forward before backward."""
        return tuple(layer for layer in self.layers if isinstance(layer, RecurrentLayer))

    def input_names(self) -> tuple[str, ...]:
        """Names on the wire: inputs, inputs_1, inputs_2 …"""
        return tuple("inputs" if i == 0 else f"inputs_{i}" for i in range(len(self.inputs)))

    def output_names(self) -> tuple[str, ...]:
        """Names on the wire: outputs, outputs_1, outputs_2 …"""
        return tuple("outputs" if i == 0 else f"outputs_{i}" for i in range(len(self.outputs)))
