"""The layer of a description that joins several tensors. Knows no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal

from cellserve.models.description.layers.layer import Layer, MaskFlow
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

MASKED_MODES: Final = ("multiply", "maximum", "minimum")  # of which "any" leaves inputs out


class MergeLayer(Layer):
    """Several tensors of one shape (concat: of one rank) into one. subtract: the first less the second.

    counts_where: a step counts where it does in all inputs that have masks, in any input (one without a mask counts at every
    step), or always. With "any", multiply, maximum and minimum leave out the inputs that do not count at a step; where none
    does, a product is zeros, and the others are the first input.
    """

    kind: Literal["merge"] = "merge"
    mode: Literal["concat", "sum", "multiply", "average", "subtract", "maximum", "minimum"]
    counts_where: Literal["all", "any", "always"] = "all"

    cheap: ClassVar[bool] = True

    @property
    def mask_flow(self) -> MaskFlow:
        return "ends" if self.counts_where == "always" else self.counts_where

    @property
    def heeds_mask(self) -> bool:
        return self.counts_where == "any" and self.mode in MASKED_MODES

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        if len(inputs) < 2:
            raise InvalidSpec(f"layer {self.name!r} (merge) takes two inputs or more, not {len(inputs)}")
        if self.mode == "subtract" and len(inputs) != 2:
            raise InvalidSpec(f"layer {self.name!r} (merge, subtract) takes two inputs, not {len(inputs)}")
        first, steps = self.require_features(inputs[0]), {shape.time_steps for shape in inputs if shape.time_steps is not None}
        listed = ", ".join(map(str, inputs))
        if len({shape.sequence for shape in inputs}) > 1 or len(steps) > 1:
            raise InvalidSpec(
                f"layer {self.name!r} (merge) cannot merge tensors of different kinds or numbers of steps: {listed}"
            )
        self._require_one_step_count(inputs)
        common = {shape.features[:-1] if self.mode == "concat" else shape.features for shape in inputs}
        if len(common) > 1 or len({len(shape.features) for shape in inputs}) > 1:
            raise InvalidSpec(f"layer {self.name!r} (merge, {self.mode}) takes tensors of one shape, but its inputs are {listed}")
        last = sum(shape.features[-1] for shape in inputs) if self.mode == "concat" else first.features[-1]
        return replace(first, features=(*first.features[:-1], last), time_steps=next(iter(steps), None))

    def _require_one_step_count(self, inputs: tuple[TensorShape, ...]) -> None:
        """Sequences on different step counts have equally many steps only where the model's time dimension is fixed."""
        step_counts = {shape.step_count for shape in inputs if shape.sequence}
        unknown = [shape for shape in inputs if shape.sequence and shape.time_steps is None]
        if (
            len(step_counts) > 1
            and unknown
            and (any(step_count.changes for step_count in step_counts) or len(unknown) == len(inputs))
        ):
            raise InvalidSpec(
                f"layer {self.name!r} (merge) joins sequences of which one was shortened or lengthened on the way; their numbers "
                "of steps agree only for one length: fix the time dimension of the model's input (time_steps)"
            )


KINDS: Final = (MergeLayer,)
