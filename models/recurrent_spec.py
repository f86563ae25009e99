"""The recurrent layers of a description: LSTM, GRU, SimpleRNN, and the two that Keras dropped in 2015, JZS and SimpleDeepRNN.

Gates are numbered in the canonical order of gate_order.py. Knows no weights and no files.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from cellserve.models.errors import InvalidSpec
from cellserve.models.layer_spec import Activation, Layer

MaskRule = Literal[
    "repeat",  # masked step: state kept, previous output repeated; zeros before the first valid step
    "repeat_from_state",  # the same, but before the first valid step the carried h is the output (Keras 1.0.8-2.2 on TensorFlow)
    "zero",  # masked step: state kept, output zero
    "zero_or_empty",  # the same, and under a mask a step whose features are all 0 counts as masked (Keras 0.3.0 and 0.3.1)
    "reset",  # masked step: computed and shown like any other, but the step after it starts from zeros (Keras 0.1.2-0.2.0)
    "ignore",  # masks change nothing (Keras before 0.1.2; 0.3.0 and 0.3.1 where only the last output is returned)
]

Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Recurrent(Layer):
    """Inputs: the sequence [B,T,F], then optionally the initial states in the order of `state_widths`, each [B,width]."""

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

    @property
    def newest_states(self) -> tuple[str, ...]:
        """The states that hold nothing but the latest step: those that mask rule `reset` sets to zeros after a masked one."""
        return tuple(self.state_widths)

    @property
    def input_gates(self) -> int:
        """Blocks of `units` columns in the kernel."""
        return 1

    @property
    def recurrent_gates(self) -> range:
        """The gates that have a block in the recurrent kernel."""
        return range(1)


class LstmLayer(Recurrent):
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

    @property
    def input_gates(self) -> int:
        return 4

    @property
    def recurrent_gates(self) -> range:
        return range(4)


class GruLayer(Recurrent):
    """z,r = recurrent_activation(..); h' = z h + (1 - z) candidate. `reset_after`: the reset gate acts after the product."""

    kind: Literal["gru"] = "gru"
    recurrent_activation: Activation = Activation(name="sigmoid")
    reset_after: bool = False

    @property
    def input_gates(self) -> int:
        return 3

    @property
    def recurrent_gates(self) -> range:
        return range(3)


class SimpleRnnLayer(Recurrent):
    """h' = activation(x W + b + h U); `combine` "multiply": activation((x W + b) h U), as Keras 0.3.0 computed it."""

    kind: Literal["simple_rnn"] = "simple_rnn"
    combine: Literal["add", "multiply"] = "add"


class JzsLayer(Recurrent):
    """MUT1, MUT2 and MUT3 of Jozefowicz et al. 2015, as JZS1-3 of Keras 0.1.2 to 0.2.0: h' = z candidate + (1 - z) h.

    1: z = s(x W + b);           r = s(x W + h U + b);  candidate = activation(tanh(x P) + b + (r h) U)
    2: z = s(x W + h U + b);     r = s(x P + h U + b);  candidate = activation(x W + b + (r h) U)
    3: z = s(x W + tanh(h) U + b); r = s(x W + h U + b);  candidate = activation(x W + b + (r h) U)

    with s the recurrent_activation. P, the identity or a projection to `units`, stands in the kernel in the place of W.
    """

    kind: Literal["jzs"] = "jzs"
    variant: Literal[1, 2, 3]
    recurrent_activation: Activation = Activation(name="sigmoid")

    @property
    def input_gates(self) -> int:
        return 3

    @property
    def recurrent_gates(self) -> range:
        """JZS1's z does not see the state."""
        return range(1, 3) if self.variant == 1 else range(3)


class SimpleDeepRnnLayer(Recurrent):
    """h' = activation(x W + b + the sum over k = 1 … depth of recurrent_activation(h of k steps ago times U_k)).

    `missing_steps`, for those before the first step: "absent" adds nothing (as does a masked step under the mask rule `reset`:
    Keras 0.1.2 to 0.2.0), "zero" is an h of zeros, which most activations do not map to zero (Keras 0.1.0 and 0.1.1).
    States: h, h_2 … h_depth, and for "absent" valid, valid_2 … (each [B, 1]): 1 where that step was one.
    """

    kind: Literal["simple_deep_rnn"] = "simple_deep_rnn"
    depth: PositiveInt
    recurrent_activation: Activation = Activation(name="hard_sigmoid")
    missing_steps: Literal["absent", "zero"] = "absent"

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


RecurrentLayer = LstmLayer | GruLayer | SimpleRnnLayer | JzsLayer | SimpleDeepRnnLayer
