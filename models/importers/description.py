"""What a person may add to a model file that does not say enough of itself (`--description`, YAML or JSON).

Knows no model files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from cellserve.models.description.layers.activation import Activation, ActivationName
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import MAX_JSON_BYTES
from cellserve.models.spec import InputSpec

Layout = Literal["keras", "torch", "tensorflow1", "flax", "haiku", "mlx"]
Word = Literal["identity", "last_step", "max", "mean", "reverse", "squeeze", "sum"]
"""What code of a Keras layer that is never run may be said to do."""
Start = Annotated[float, Field(allow_inf_nan=False)] | list[Any]
Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DescribedLayer(BaseModel):
    """A layer as a ModelSpec has it, whose `name` and `inputs` may be left out, with where its arrays are.

    Orders of arrays. keras: kernel, recurrent_kernel, bias, or (Keras 0.x, 1.x) W, U, b for each of the gates i, c, f, o of an
    LSTM or z, r, h of a GRU; JZS and SimpleDeepRNN as get_weights() gives them, with the Pmat of JZS1 and JZS2 last. torch:
    weight_ih, weight_hh, bias_ih, bias_hh[, weight_hr]; of a cell that no framework has, for each gate the weight over x, that
    over h where the gate sees h, and the bias; an slstm's also as the xlstm package has them. tensorflow1:
    kernel, bias[, w_f_diag, w_i_diag, w_o_diag][, projection]; of a GRU the gates' kernel and bias, then the candidate's. A
    dense layer: kernel (torch: weight), bias; an embedding: its table; a norm: gamma, beta[, mean, variance]; a convolution:
    kernel [size, in, out] (torch: weight [out, in, size]), bias; a prelu: alpha, of torch one number for all
    or one for each feature.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    name: str | None = None
    """Default: its kind and its number, "lstm_0"."""

    arrays: tuple[str, ...] | None = None
    """The file's names of its arrays, in the order of its layout; default: the next ones of a numbered list."""

    layout: Layout | None = None
    """Default: the description's."""

    forget_bias: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Of an LSTM in the layouts tensorflow1 and haiku; default: the description's."""

    gate_order: tuple[str, ...] | None = None
    """Of a cell that no framework has: its arrays hold all its gates one after the other, in this order; default: one each."""

    groups: PositiveInt | None = None
    """Of a convolution: into how many groups its inputs and outputs are divided; default: 1."""

    bands_first: bool | None = None
    """Of a conv2d: whether its weight is over [bands, time], as where a program has time last; default: over [time, bands]."""


class Description(BaseModel):
    """Facts for files that hold weights alone. None: not said, so the importer assumes the framework's default and says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nonlinearity: Literal["tanh", "relu"] | None = None
    """The function of torch.nn.RNN, which a state dict does not record."""

    head: Literal["last_step", "sequence"] | None = None
    """Where the Linear layers (the matrices) after the recurrence act: on its last step only, or on every step."""

    order: tuple[str, ...] | None = None
    """Module names of a state dict, or scopes and matrices of a checkpoint, in the order in which the data flow through them.

    What is not named is left out. Default: the file's order."""

    head_activations: tuple[ActivationName, ...] | None = None
    """The activation after each Linear (matrix) of the head, in order; default: none."""

    unit_length: bool | None = None
    """PyTorch: whether each output vector is divided by its Euclidean length at the end (F.normalize); default: it is not."""

    ignore: tuple[str, ...] | None = None
    """PyTorch, TensorFlow 1 and arrays: names of arrays that the model does not use; * stands for anything."""

    forget_bias: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """TensorFlow 1: what its LSTM cells add to the forget gate at run time; default: 1.0."""

    activation: ActivationName | None = None
    """TensorFlow 1: the cells' activation, one without numbers of its own; default: tanh."""

    cell_clip: Bound | None = None
    """TensorFlow 1: LSTMCell's bound of the cell state; default: none."""

    proj_clip: Bound | None = None
    """TensorFlow 1: LSTMCell's bound of the projected output; default: none."""

    merge: Literal["concat", "sum", "multiply", "average", "none"] | None = None
    """TensorFlow 1: what becomes of the two outputs of a bidirectional_rnn; none: two outputs. Default: concat."""

    cells: dict[str, Literal["lstm", "gru", "simple_rnn"]] | None = None
    """TensorFlow 1: scopes of cells that the program named itself, with what they are."""

    keras_version: str | None = None
    """Keras 0.x and 1.0: the release that wrote the file, "0.2.0", which the file may not say; default: told from its options."""

    keras_backend: Literal["theano", "tensorflow", "jax", "torch"] | None = None
    """The backend that the model ran on, which files of Keras 1.x and .keras archives do not say, where a layer needs it."""

    projections: dict[str, list[list[float]]] | None = None
    """Keras 0.1.2 and 0.1.3: the random matrix Pmat [inputs, units] of JZS layers, which they did not save; by layer."""

    lambdas: dict[str, Word | dict[str, Any]] | None = None
    """Keras: what the code of Lambda layers does, by layer, as a word or as a layer of Keras: {class_name: …, options …}."""

    custom_layers: dict[str, str | Annotated[tuple[str, ...], Field(min_length=1)] | dict[str, Any]] | None = None
    """Keras: what layers of classes of the program's own do, by class: as a word, as a class of Keras (which then has the options
    that the file has), as that and words after it, or with other options, {class_name: …, options …}."""

    inputs: tuple[InputSpec, ...] | None = None
    """A network described layer by layer: its inputs, as a ModelSpec has them."""

    layers: tuple[DescribedLayer, ...] | None = None
    """Its layers in order. Each reads the one before it unless its `inputs` say otherwise."""

    outputs: tuple[str, ...] | None = None
    """Its outputs; default: the last layer. ONNX: those of the graph's that are served; default: all."""

    constants: dict[str, float | int | bool] | None = None
    """ONNX: inputs of the graph that are one number each, such as a sample rate, with the number that the model is served for."""

    dequantize: bool | None = None
    """ONNX: whether a quantised file is served with its weights in float32 (the option --dequantize); default: it is refused."""

    step: bool | None = None
    """ONNX: whether the graph is called as it is, once for each feed, with the states that it gives back; default: if need be."""

    states: dict[str, str] | None = None
    """ONNX, of a step model: inputs of the graph that are states, each with the output that is its next value; default: found."""

    initial: dict[str, Start] | None = None
    """ONNX, of a step model: what states begin with, one number each or all, in nested lists or one; default: zeros."""

    axes: dict[str, tuple[Literal["batch", "time"] | PositiveInt, ...]] | None = None
    """ONNX, of a step model: what the axes of inputs are: batch, time, or a size; default: found."""

    frames: dict[str, PositiveInt] | None = None
    """ONNX, of a step model: inputs that are fed frame by frame, with its steps; default: whole feeds where time is free."""

    context: dict[str, PositiveInt] | None = None
    """ONNX, of a step model: inputs before which the last so many values of the feed before stand, zeros at first."""

    layout: Layout | None = None
    """The framework in whose order and orientation the arrays come."""

    @field_validator("activation")
    @classmethod
    def _needs_no_numbers(cls, name: ActivationName | None) -> ActivationName | None:
        return None if name is None else Activation(name=name).name

    def refuse_all_but(self, fitting: frozenset[str], source: str, what: str) -> None:
        """Raises ImportRefused naming the first key that has no meaning for this kind of file."""
        for key in sorted(self.model_fields_set - fitting):
            raise ImportRefused(
                source, f"this has no meaning for {what}; the keys that have are {', '.join(sorted(fitting))}", option=key
            )


def load_description(path: Path) -> Description:
    """Raises ImportRefused: not YAML or JSON, an unknown key (listing the known ones), a value that is not allowed."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImportRefused(str(path), "a description is a few lines of YAML or JSON; this file is far too large")
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImportRefused(str(path), f"the description cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ImportRefused(str(path), f"the description is neither YAML nor JSON: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ImportRefused(str(path), "the description must be a mapping of keys to values, such as `nonlinearity: relu`")
    known = ", ".join(sorted(Description.model_fields))
    for key in content:
        if key not in Description.model_fields:
            raise ImportRefused(str(path), f"unknown key; the known ones are {known}", option=str(key))
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(str(path), str(first["msg"]), option=".".join(map(str, first["loc"]))) from error
