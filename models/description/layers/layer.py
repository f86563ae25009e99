"""What every layer of a description says of itself: what it reads and makes, its arrays, and what it does to steps and masks.

Step arithmetic, shapes, passes and masks ask these facts of a layer, so that none of them lists layers. The defaults are those of
a layer that reads its row onward, and of which a step counts where it does in all that it reads. Knows no particular layer.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from cellserve.models.description.layers.activation import Activation, Frozen
from cellserve.models.description.step_counts import ONWARD, Change, Order
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

Shapes = dict[str, tuple[int, ...]]

MaskFlow = Literal[
    "all",  # a step of the output counts where it does in all inputs that have a mask: the mask travels through
    "any",  # where it does in any input; one without a mask counts at every step
    "begins",  # as with "all", but the layer masks steps of its own too
    "ends",  # every step counts
]


class Layer(Frozen):
    """The base of all; `inputs`: tensor references."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^:]+$")]
    inputs: tuple[str, ...] = Field(min_length=1)

    always_told: ClassVar[tuple[str, ...]] = ("kind",)

    if TYPE_CHECKING:
        kind: str

    cheap: ClassVar[bool] = False  # it works step by step without products: rather made again than stored
    sums_up: ClassVar[bool] = False  # it makes a vector of a row by a running total
    repeats: ClassVar[bool] = False  # it makes a sequence of a vector
    whole_inputs: ClassVar[slice] = slice(0, 0)  # of its inputs, those that each step reads whole
    takes_rows: ClassVar[bool] = False  # it reads a row whole, of any number of steps, and may make a sequence of it
    on_host: ClassVar[bool] = False  # it computes in host memory, wherever the network is

    @property
    def needs_fixed_steps(self) -> bool:
        """Whether it reads a row whole, and needs every row to have the same number of steps."""
        return False

    @abstractmethod
    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        """Raises InvalidSpec: inputs that it cannot take, in a sentence that names it."""

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        """Its weight arrays by canonical name within the layer. `width`: the last axis of its (first) input, () for ids."""
        return {}

    @property
    def state_widths(self) -> dict[str, int]:
        """Its named states, in order, each [B, width]."""
        return {}

    @property
    def change(self) -> Change | None:
        """What it does to the number of time steps of the row that it reads; None: it lays nothing out in time."""
        return None

    @property
    def retimed(self) -> Change | None:
        """As `change`, also of a layer that does it to whole rows."""
        return self.change

    @property
    def order(self) -> Order:
        """How it goes through the sequence that it reads."""
        return ONWARD

    @property
    def keeps_time(self) -> bool:
        """Whether a sequence that goes in comes out as one."""
        return True

    @property
    def mask_flow(self) -> MaskFlow:
        """What becomes of the masks of its inputs, where it makes a sequence."""
        return "all"

    @property
    def heeds_mask(self) -> bool:
        """Whether its numbers depend on the masks of its inputs."""
        return False

    def why_not_causal(self, *, over_time: bool) -> str | None:
        """Why it cannot be fed a chunk at a time, as the end of a sentence about it; `over_time`: what it reads is a sequence."""
        return None

    def only_input(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        """The one shape that it reads. Raises InvalidSpec."""
        if len(inputs) != 1:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes one input, not {len(inputs)}")
        return inputs[0]

    def require_sequence(self, shape: TensorShape) -> TensorShape:
        """Raises InvalidSpec for a vector."""
        if not shape.sequence:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes a sequence, but its input is a vector {shape}")
        return shape

    def require_features(self, shape: TensorShape) -> TensorShape:
        """Raises InvalidSpec for ids."""
        if shape.ids or not shape.features:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes features, but its input is ids {shape}; embed them first")
        return shape

    def require_one_axis(self, shape: TensorShape) -> TensorShape:
        """Raises InvalidSpec for ids, and for features in several axes."""
        if len(self.require_features(shape).features) != 1:
            raise InvalidSpec(f"layer {self.name!r} ({self.kind}) takes one axis of features, but its input is {shape}")
        return shape

    @field_validator("activation", "recurrent_activation", "output_activation", mode="before", check_fields=False)
    @classmethod
    def _activation_by_name(cls, value: object) -> object:
        return Activation.of(value)
