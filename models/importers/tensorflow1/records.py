"""What TensorFlow 1 has of each kind of recurrent layer: the scopes of its cells, their variables, and the layer that they make.

One record for each class of our layers. Sources: TensorFlow 1.0-1.15 python/ops/rnn_cell_impl.py, contrib/rnn. Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cellserve.models.description import gate_order
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.importers import layout
from cellserve.models.importers.description import Description
from cellserve.models.importers.layout import Arrays, LayoutError, Listed

NO_FORGET_BIAS: Final = "cudnn_compatible_lstm_cell"
_LSTM_EXTRAS: Final = frozenset({"projection", "peephole_i", "peephole_f", "peephole_o"})


@dataclass(frozen=True, slots=True)
class TensorFlow1Record:
    """scopes: what its classes call theirs. needed, optional: its variables by role. kernel, bias: those that tell its sizes.

    blocks: of `units` columns in that kernel. make: (the options that all have, the variables' shapes, what a person said) -> the
    canonical layer. forgets: whether the program adds a forget bias at run time.
    """

    scopes: tuple[str, ...]
    needed: tuple[str, ...]
    blocks: int
    make: Callable[[dict[str, Any], Mapping[str, tuple[int, ...]], Description], RecurrentLayer]
    canonical: Callable[[Any, Arrays, float], Arrays]
    optional: frozenset[str] = frozenset()
    kernel: str = "kernel"
    bias: str = "bias"
    forgets: bool = False
    refuses: Callable[[Any], str | None] = lambda layer: None

    def roles(self, layer: RecurrentLayer, following: Any) -> tuple[str, ...]:
        """In the order in which a description lists them."""
        if not layer.use_bias:
            raise LayoutError("TensorFlow 1's cells always have biases; leave use_bias out")
        if (what := self.refuses(layer)) is not None:
            raise LayoutError(what)
        own = layer.arrays((layer.units,))
        extras = ("peephole_f", "peephole_i", "peephole_o", "projection")
        return (*self.needed, *(name for name in extras if name in own))


def _lstm(common: dict[str, Any], shapes: Mapping[str, tuple[int, ...]], said: Description) -> RecurrentLayer:
    projection = shapes["projection"][1] if "projection" in shapes else None
    return LstmLayer(
        **common,
        projection_units=projection,
        peepholes="peephole_i" in shapes,
        cell_clip=said.cell_clip,
        projection_clip=said.proj_clip if projection else None,
    )


RECORDS: Final[Mapping[type[Layer], TensorFlow1Record]] = {
    LstmLayer: TensorFlow1Record(
        scopes=("basic_lstm_cell", "lstm_cell", "lstm_fused_cell", NO_FORGET_BIAS),  # lstm_cell: LSTMCell and LSTMBlockCell
        needed=("kernel", "bias"),
        optional=_LSTM_EXTRAS,
        blocks=4,
        make=_lstm,
        canonical=lambda layer, stored, forget_bias: layout.tensorflow1_recurrent(
            layer, stored, gate_order.LSTM_TENSORFLOW_1, forget_bias
        ),
        forgets=True,
    ),
    GruLayer: TensorFlow1Record(
        scopes=("gru_cell", "gru_block_cell"),  # gru_cell: GRUCell and GRUBlockCell
        needed=("gates_kernel", "gates_bias", "candidate_kernel", "candidate_bias"),
        kernel="gates_kernel",
        bias="gates_bias",
        blocks=2,
        make=lambda common, shapes, said: GruLayer(**common),
        canonical=lambda layer, stored, forget_bias: layout.tensorflow1_gru(layer, stored),
        refuses=lambda layer: (
            "TensorFlow 1's GRU resets before the product; leave reset_after out" if layer.reset_after else None
        ),
    ),
    SimpleRnnLayer: TensorFlow1Record(
        scopes=("basic_rnn_cell",),
        needed=("kernel", "bias"),
        blocks=1,
        make=lambda common, shapes, said: SimpleRnnLayer(**common),
        canonical=lambda layer, stored, forget_bias: layout.tensorflow1_recurrent(layer, stored, gate_order.SIMPLE_RNN),
    ),
}
BY_KIND: Final[Mapping[str, TensorFlow1Record]] = {
    str(kind.model_fields["kind"].default): record for kind, record in RECORDS.items()
}
LISTED: Final[Mapping[type[Layer], Listed]] = {kind: Listed(record.roles, record.canonical) for kind, record in RECORDS.items()}
