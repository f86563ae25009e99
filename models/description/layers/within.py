"""The layer of a description that runs a recurrence within each step, over an axis of its features. Knows no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Union

from pydantic import Field

from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer, Shapes
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import InvalidSpec

CELLS: Final = (LstmLayer, GruLayer, SimpleRnnLayer)

if TYPE_CHECKING:
    CellSpec = RecurrentLayer
else:
    CellSpec = Annotated[Union[CELLS], Field(discriminator="kind")]  # noqa: UP007 - of a tuple


class WithinStepLayer(Layer):
    """[B,T,S,F] to [B,T,S,units] or [B,T,units]: at each step a recurrence of its own over S, from zeros (TimeDistributed(LSTM)).

    `cell`: that recurrence; its name, inputs and mask rule mean nothing here. `turned_back`: what one that runs backwards
    answers, put in the order of its inputs again. A vector [B,S,F] is one step.
    """

    kind: Literal["within_step"] = "within_step"
    cell: CellSpec
    turned_back: bool = False

    kinds: ClassVar = CELLS

    def output_shape(self, inputs: tuple[TensorShape, ...]) -> TensorShape:
        shape = self.require_features(self.only_input(inputs))
        if len(shape.features) != 2:
            raise InvalidSpec(
                f"layer {self.name!r} (within_step) takes two axes of features at each step, but its input is {shape}"
            )
        kept = shape.features[:1] if self.cell.return_sequences else ()
        return replace(shape, features=(*kept, self.cell.output_units))

    def arrays(self, width: tuple[int, ...]) -> Shapes:
        return self.cell.arrays(width)


KINDS: Final = (WithinStepLayer,)
