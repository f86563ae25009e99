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

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, Union

from pydantic import Field, PositiveInt, model_validator

from cellserve.models.description.layers import (
    attention,
    carried,
    cells,
    merge,
    planes,
    rows,
    spectral,
    stepwise,
    windowed,
    within,
)
from cellserve.models.description.layers.activation import Frozen
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import InvalidSpec

SCHEMA_VERSION: Final = 1

KINDS: Final[tuple[type[Layer], ...]] = (
    *cells.KINDS,
    *stepwise.KINDS,
    *windowed.KINDS,
    *planes.KINDS,
    *spectral.KINDS,
    *rows.KINDS,
    *merge.KINDS,
    *attention.KINDS,
    *within.KINDS,
    *carried.KINDS,
)
"""Every kind of layer. Each family lists its own; whoever needs them all asks here."""

if TYPE_CHECKING:
    LayerSpec = Layer
else:
    LayerSpec = Annotated[Union[KINDS], Field(discriminator="kind")]  # noqa: UP007 - of a tuple


class InputSpec(Frozen):
    """One input of the network.

    kind `features`: float sequence [B,T,width]; `ids`: integer sequence [B,T], or several at each step, [B,T,width]; `vector`:
    [B,width] (an initial state).
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[^:]+$")]
    kind: Literal["features", "ids", "vector"] = "features"
    width: PositiveInt | None = None  # None for ids, one at each step
    time_steps: PositiveInt | None = None  # as fixed in the file; binding only where a layer needs it (Flatten)

    @model_validator(mode="after")
    def _width_fits_kind(self) -> Self:
        if self.width is None and self.kind != "ids":
            raise InvalidSpec(f"input {self.name!r}: only ids need no width, every other kind has one")
        return self


class ModelSpec(Frozen):
    """A network: its inputs, its layers in an order in which each one's inputs come before it, and its outputs.

    Raises (through pydantic's ValidationError): references to tensors that do not exist or come later, duplicate names.
    """

    always_told: ClassVar[tuple[str, ...]] = ("schema_version",)

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
