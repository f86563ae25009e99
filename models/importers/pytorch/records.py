"""What torch has of each kind of recurrent layer: its gates, the arrays of its modules, and the layer that they make.

One record for each class of our layers; and the cells that programs write of Linears, as those of the xlstm package. Sources:
torch.nn.modules.rnn 2.x, xlstm 2.0. Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer, SLstmLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.importers import layout
from cellserve.models.importers.description import Description
from cellserve.models.importers.layout import Array, Arrays, LayoutError, Listed


@dataclass(frozen=True, slots=True)
class TorchRecord:
    """order: of its gates. make: (the options that all have, a direction's arrays, what a person said) -> the canonical layer.

    options: of its module beside those that all have, likewise.
    """

    module: Callable[..., nn.RNNBase]
    order: GateOrder
    make: Callable[[dict[str, Any], Mapping[str, Array], Description], RecurrentLayer]
    refuses: Callable[[Any], str | None] = lambda layer: None
    options: Callable[[Mapping[str, Array], Description], dict[str, Any]] = lambda stored, said: {}

    def roles(self, layer: RecurrentLayer, following: Sequence[Array]) -> tuple[str, ...]:
        if (what := self.refuses(layer)) is not None:
            raise LayoutError(what)
        biases = ("bias_ih", "bias_hh") if layer.use_bias else ()
        projection = ("weight_hr",) if "projection" in layer.arrays((layer.units,)) else ()
        return ("weight_ih", "weight_hh", *biases, *projection)

    def canonical(self, layer: RecurrentLayer, stored: Arrays, forget_bias: float = 0.0) -> Arrays:
        return layout.torch_recurrent(layer, stored, self.order)


RECORDS: Final[Mapping[type[Layer], TorchRecord]] = {
    LstmLayer: TorchRecord(
        nn.LSTM,
        gate_order.LSTM_TORCH,
        lambda common, stored, said: LstmLayer(
            **common, projection_units=stored["weight_hr"].shape[0] if "weight_hr" in stored else None
        ),
        lambda layer: "torch has no LSTM with peepholes; the layout tensorflow1 has" if layer.peepholes else None,
        lambda stored, said: {"proj_size": stored["weight_hr"].shape[0] if "weight_hr" in stored else 0},
    ),
    GruLayer: TorchRecord(
        nn.GRU,
        gate_order.GRU_TORCH,
        lambda common, stored, said: GruLayer(**common, reset_after=True),
        lambda layer: (
            None if layer.reset_after else "torch's GRU resets after the product; describe the layer with reset_after: true"
        ),
    ),
    SimpleRnnLayer: TorchRecord(
        nn.RNN,
        gate_order.SIMPLE_RNN,
        lambda common, stored, said: SimpleRnnLayer(**common, activation=Activation(name=said.nonlinearity or "tanh")),
        options=lambda stored, said: {"nonlinearity": said.nonlinearity or "tanh"},
    ),
}
BY_KIND: Final[Mapping[str, TorchRecord]] = {str(kind.model_fields["kind"].default): record for kind, record in RECORDS.items()}


def by_hand(layer: RecurrentLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """Of a cell that no framework has, as programs write it: for each gate the Linear over x, and that over h where it sees h."""
    seeing = {layer.gates[gate] for gate in layer.recurrent_gates}
    return tuple(
        role
        for gate in layer.gates
        for role in (
            f"weight_x_{gate}",
            *((f"weight_h_{gate}",) if gate in seeing else ()),
            *((f"bias_{gate}",) if layer.use_bias else ()),
        )
    )


def stacked(layer: RecurrentLayer) -> tuple[str, ...]:
    """Of such a cell whose gates are all in one Linear over x, and one over h."""
    return ("weight_x", *(("weight_h",) if layer.recurrent_gates else ()), *(("bias",) if layer.use_bias else ()))


def slstm(layer: SLstmLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """As the xlstm package keeps it, its weights over h in one array by heads, or by hand."""
    if len(following) <= len(layer.gates) or following[len(layer.gates)].ndim != 3:
        return by_hand(layer, following)
    return (*(f"weight_x_{gate}" for gate in layer.gates), "weight_h", *(("bias",) if layer.use_bias else ()))


def _slstm_arrays(layer: SLstmLayer, stored: Arrays, forget_bias: float) -> Arrays:
    return layout.linears(layer, layout.xlstm_cell(layer, stored) if "weight_h" in stored else stored)


BY_HAND: Final = Listed(by_hand, lambda layer, stored, forget_bias: layout.linears(layer, stored))
LISTED: Final[Mapping[type[Layer], Listed]] = {
    **{kind: Listed(record.roles, record.canonical) for kind, record in RECORDS.items()},
    SLstmLayer: Listed(slstm, _slstm_arrays),
}
