"""The recurrent layers of a description: LSTM, sLSTM, GRU, minGRU, minLSTM, SimpleRNN, and Keras's of 2015, JZS, SimpleDeepRNN.

Each is its equations in words, its gates, its states and its arrays. Knows no weights and no files.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Shapes
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import InvalidSpec

Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LstmLayer(RecurrentLayer):
    """i,f,o = recurrent_activation(x W + h U + b); c' = f c + i activation(..); h' = o activation(c') [projected by P].

    `output_activation` is what c' goes through into h', where that is another one (ONNX's third function). `peepholes`: before
    their activation, i and f also get a vector times c, and o one times c'. `cell_clip` bounds c' and `projection_clip` the
    projected h' to ± itself (TensorFlow 1's LSTMCell), `gate_clip` what goes into the activation of each gate and of the
    candidate (ONNX's clip).
    """

    kind: Literal["lstm"] = "lstm"
    recurrent_activation: Activation = Activation(name="sigmoid")
    output_activation: Activation | None = None
    projection_units: PositiveInt | None = None
    peepholes: bool = False
    cell_clip: Bound | None = None
    projection_clip: Bound | None = None
    gate_clip: Bound | None = None

    gates: ClassVar[GateOrder] = gate_order.LSTM

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

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        arrays = super().arrays(width)
        if self.projection_units:
            arrays["projection"] = (self.units, self.projection_units)
        if self.peepholes:
            arrays |= {f"peephole_{gate}": (self.units,) for gate in "ifo"}
        return arrays


class GruLayer(RecurrentLayer):
    """z,r = recurrent_activation(..); h' = z h + (1 - z) candidate. `reset_after`: the reset gate acts after the product.

    `gate_clip` bounds what goes into each activation to ± itself (ONNX's clip).
    """

    kind: Literal["gru"] = "gru"
    recurrent_activation: Activation = Activation(name="sigmoid")
    reset_after: bool = False
    gate_clip: Bound | None = None

    gates: ClassVar[GateOrder] = gate_order.GRU

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        arrays = super().arrays(width)
        return arrays | ({"recurrent_bias": arrays["bias"]} if self.use_bias and self.reset_after else {})


class MinGruLayer(RecurrentLayer):
    """z = recurrent_activation(x W + b); h' = (1 - z) h + z activation(x W + b): the minGRU of Feng et al. 2024.

    Neither sees h, so there is no recurrent kernel.
    """

    kind: Literal["min_gru"] = "min_gru"
    activation: Activation = Activation(name="linear")
    recurrent_activation: Activation = Activation(name="sigmoid")

    gates: ClassVar[GateOrder] = ("z", "h")

    @property
    def recurrent_gates(self) -> range:
        return range(0)


class MinLstmLayer(RecurrentLayer):
    """h' = f h / (f + i) + i activation(x W + b) / (f + i), of f,i = sigmoid(x W + b): the minLSTM of Feng et al. 2024.

    None of them sees h, so there is no recurrent kernel.
    """

    kind: Literal["min_lstm"] = "min_lstm"
    activation: Activation = Activation(name="linear")

    gates: ClassVar[GateOrder] = ("f", "i", "h")

    @property
    def recurrent_gates(self) -> range:
        return range(0)


class SLstmLayer(RecurrentLayer):
    """c' = f c + i activation(..); n' = f n + i; h' = o c' / n': the sLSTM of Beck et al. 2024.

    i = exp(x W + h U + b), f the sigmoid or the exponential of such a sum (`forget_gate`), o its recurrent_activation. c and n
    are kept divided by exp(m), m the largest exponent so far. Heads are a recurrent kernel in blocks. While n is 0, nothing was.
    """

    kind: Literal["slstm"] = "slstm"
    recurrent_activation: Activation = Activation(name="sigmoid")
    forget_gate: Literal["sigmoid", "exponential"] = "sigmoid"

    gates: ClassVar[GateOrder] = gate_order.LSTM

    @property
    def state_widths(self) -> dict[str, int]:
        return dict.fromkeys(("h", "c", "n", "m"), self.units)


class SimpleRnnLayer(RecurrentLayer):
    """h' = activation(x W + b + h U); `combine` "multiply": activation((x W + b) h U), as Keras 0.3.0 computed it.

    `gate_clip` bounds what goes into the activation to ± itself (ONNX's clip).
    """

    kind: Literal["simple_rnn"] = "simple_rnn"
    combine: Literal["add", "multiply"] = "add"
    gate_clip: Bound | None = None

    gates: ClassVar[GateOrder] = gate_order.SIMPLE_RNN


class JzsLayer(RecurrentLayer):
    """MUT1, MUT2 and MUT3 of Jozefowicz et al. 2015, as JZS1-3 of Keras 0.1.2 to 0.2.0: h' = z candidate + (1 - z) h.

    1: z = s(x W + b);           r = s(x W + h U + b);  candidate = activation(tanh(x P) + b + (r h) U)
    2: z = s(x W + h U + b);     r = s(x P + h U + b);  candidate = activation(x W + b + (r h) U)
    3: z = s(x W + tanh(h) U + b); r = s(x W + h U + b);  candidate = activation(x W + b + (r h) U)

    with s the recurrent_activation. P, the identity or a projection to `units`, stands in the kernel in the place of W.
    """

    kind: Literal["jzs"] = "jzs"
    variant: Literal[1, 2, 3]
    recurrent_activation: Activation = Activation(name="sigmoid")

    gates: ClassVar[GateOrder] = gate_order.JZS

    @property
    def recurrent_gates(self) -> range:
        """JZS1's z does not see the state."""
        return range(1, 3) if self.variant == 1 else range(3)

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        """JZS1's candidate has a bias of its own, which is added outside of a tanh."""
        arrays, units = super().arrays(width), self.units
        return arrays | ({"bias": (2 * units,), "candidate_bias": (units,)} if self.use_bias and self.variant == 1 else {})


class SimpleDeepRnnLayer(RecurrentLayer):
    """h' = activation(x W + b + the sum over k = 1 … depth of recurrent_activation(h of k steps ago times U_k)).

    `missing_steps`, for those before the first step: "absent" adds nothing (as does a masked step under the mask rule `reset`:
    Keras 0.1.2 to 0.2.0), "zero" is an h of zeros, which most activations do not map to zero (Keras 0.1.0 and 0.1.1).
    States: h, h_2 … h_depth, and for "absent" valid, valid_2 … (each [B, 1]): 1 where that step was one.
    """

    kind: Literal["simple_deep_rnn"] = "simple_deep_rnn"
    depth: PositiveInt
    recurrent_activation: Activation = Activation(name="hard_sigmoid")
    missing_steps: Literal["absent", "zero"] = "absent"

    gates: ClassVar[GateOrder] = gate_order.SIMPLE_RNN

    @property
    def state_widths(self) -> dict[str, int]:
        ages = ["", *(f"_{age}" for age in range(2, self.depth + 1))]
        hidden = {f"h{age}": self.units for age in ages}
        return hidden | ({f"valid{age}": 1 for age in ages} if self.missing_steps == "absent" else {})

    @property
    def newest_states(self) -> tuple[str, ...]:
        return ("h", "valid") if self.missing_steps == "absent" else ("h",)

    @property
    def recurrent_gates(self) -> range:
        return range(self.depth)


KINDS: Final = (
    LstmLayer,
    SLstmLayer,
    GruLayer,
    MinGruLayer,
    MinLstmLayer,
    SimpleRnnLayer,
    JzsLayer,
    SimpleDeepRnnLayer,
)
