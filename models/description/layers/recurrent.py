"""What the recurrent layers of a description have in common: a state, gates, a direction, and a rule for masked steps.

Gates are named in the canonical order of gate_order.py. Knows no particular cell and no weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import PositiveInt

from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer, MaskFlow, Shapes
from cellserve.models.description.step_counts import ONWARD, TURNED, Order
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

MaskRule = Literal[
    "repeat",  # masked step: state kept, previous output repeated; zeros before the first valid step
    "repeat_from_state",  # the same, but before the first valid step the carried h is the output (Keras 1.0.8-2.2 on TensorFlow)
    "zero",  # masked step: state kept, output zero
    "zero_or_empty",  # the same, and under a mask a step whose features are all 0 counts as masked (Keras 0.3.0 and 0.3.1)
    "reset",  # masked step: computed and shown like any other, but the step after it starts from zeros (Keras 0.1.2-0.2.0)
    "ignore",  # masks change nothing (Keras before 0.1.2; 0.3.0 and 0.3.1 where only the last output is returned)
]


class RecurrentLayer(Layer):
    """Inputs: the sequence [B,T,F], then optionally the initial states in the order of `state_widths`, each [B,width]."""

    units: PositiveInt
    activation: Activation = Activation(name="tanh")
    use_bias: bool = True
    return_sequences: bool = False
    go_backwards: bool = False
    mask_rule: MaskRule = "repeat"
    stateful: bool = False  # as the file says; a request without a session starts from zeros all the same

    gates: ClassVar[GateOrder]  # those with a block of `units` columns in the kernel

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
    def recurrent_gates(self) -> range:
        """The gates that have a block in the recurrent kernel, by number: all of them, unless the cell says otherwise."""
        return range(len(self.gates))

    @property
    def functions(self) -> dict[str, Activation]:
        """Its activations by option."""
        return {name: value for name, value in self if isinstance(value, Activation)}

    @property
    def order(self) -> Order:
        return TURNED if self.go_backwards else ONWARD

    @property
    def keeps_time(self) -> bool:
        return self.return_sequences

    @property
    def mask_flow(self) -> MaskFlow:
        return "all" if self.return_sequences else "ends"

    @property
    def heeds_mask(self) -> bool:
        return self.mask_rule != "ignore"

    def why_not_causal(self, *, over_time: bool) -> str | None:
        if self.go_backwards:
            return "runs backwards"
        return "starts from states that the network computes" if len(self.inputs) > 1 else None

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        columns = len(self.gates) * self.units
        arrays: Shapes = {"kernel": (*width, columns)}
        if self.recurrent_gates:
            arrays["recurrent_kernel"] = (self.output_units, len(self.recurrent_gates) * self.units)
        return arrays | ({"bias": (columns,)} if self.use_bias else {})

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        sequence = self.require_one_axis(self.require_sequence(inputs[0]))
        initial, widths = inputs[1:], self.state_widths
        if initial and len(initial) != len(widths):
            raise InvalidSpec(
                f"layer {self.name!r} ({self.kind}) takes {len(widths)} initial states ({', '.join(widths)}), not {len(initial)}"
            )
        for (state, width), shape in zip(widths.items(), initial):
            if shape != TensorShape(False, (width,)):
                raise InvalidSpec(f"layer {self.name!r}: its initial state {state} is [batch, {width}], but its input is {shape}")
        if not self.return_sequences:
            return TensorShape(False, (self.output_units,))
        return replace(sequence, features=(self.output_units,))
