"""torch's LSTM, GRU and RNN as nodes of ONNX, one for each layer. Source: aten/src/ATen/native/RNN.cpp 2.x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder, reorder
from cellserve.models.importers.pytorch.export.drawing import Drawing
from cellserve.models.importers.pytorch.export.movement import Draw
from cellserve.models.importers.pytorch.export.site import NotDrawn, Site

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`operator`: of ONNX; `theirs`: torch's order of gates, and `order` that of the operator."""

    operator: str
    theirs: GateOrder
    order: GateOrder
    states: int = 1

    def ordered(self, array: Array) -> Array:  # [G*H, ...]
        return reorder(array, self.theirs, self.order, axis=0)


LSTM: Final = Kind("LSTM", gate_order.LSTM_TORCH, gate_order.LSTM_ONNX, 2)
GRU: Final = Kind("GRU", gate_order.GRU_TORCH, gate_order.GRU_ONNX)
RNN: Final = Kind("RNN", gate_order.SIMPLE_RNN, gate_order.SIMPLE_RNN)


def _recurrent(kind: Kind, **attributes: Any) -> Draw:
    def draw(site: Site) -> list[str]:
        if "batch_first" not in site.call.given:
            raise NotDrawn(
                "it runs over packed sequences; export the forward without them: every row is served at its own length"
            )
        drawing, layers = site.drawing, site.whole("num_layers")
        sides = 2 if site.value("bidirectional") else 1
        arrays = _arrays(site)
        each = len(arrays) // (layers * sides)
        biases = bool(site.value("has_biases"))
        if not arrays or each * layers * sides != len(arrays) or each not in ((4, 5) if biases else (2, 3)):
            raise NotDrawn(f"it has {len(arrays)} arrays for {layers} layers")
        states = [site.tensor("hx")] if kind.states == 1 else site.tensors("hx")
        batch_first = bool(site.value("batch_first"))
        x = drawing.transposed(site.tensor("input"), [1, 0, 2] if batch_first else [0, 1, 2])
        final: list[list[str]] = [[] for _ in range(kind.states)]
        for layer in range(layers):
            own = [arrays[(layer * sides + side) * each :][:each] for side in range(sides)]
            starts = [state if layers == 1 else drawing.sliced(state, 0, layer * sides, (layer + 1) * sides) for state in states]
            x, ends = _layer(drawing, kind, x, own, starts, attributes)
            for kept, end in zip(final, ends):
                kept.append(end)
        x = drawing.transposed(x, [1, 0, 2] if batch_first else [0, 1, 2])
        return [x, *(kept[0] if layers == 1 else drawing.one("Concat", kept, axis=0) for kept in final)]

    return draw


def _cell(kind: Kind, **attributes: Any) -> Draw:
    """One step, as a row of length 1."""

    def draw(site: Site) -> list[str]:
        drawing = site.drawing
        if site.rank("input") != 2:
            raise NotDrawn("a cell over something else than rows of features is no layer")
        states = [site.tensor("hx")] if kind.states == 1 else site.tensors("hx")
        names = ("w_ih", "w_hh", "b_ih", "b_hh")
        own = [array for name in names if (array := site.constant(name)) is not None]
        x, starts = drawing.unsqueezed(site.tensor("input"), [0]), [drawing.unsqueezed(state, [0]) for state in states]
        _, ends = _layer(drawing, kind, x, [own], starts, attributes)
        return [drawing.squeezed(end, [0]) for end in ends]

    return draw


def _arrays(site: Site) -> list[Array]:
    found = []
    for one in site.call.given.get("params", ()):
        value = site.scope[one.name]
        if isinstance(value, str):
            raise NotDrawn("its weights are computed from the program's inputs")
        found.append(value.numpy())
    return found


def _layer(
    drawing: Drawing, kind: Kind, x: str, own: Sequence[Sequence[Array]], starts: Sequence[str], attributes: Mapping[str, Any]
) -> tuple[str, list[str]]:
    """`own`: of each direction weight_ih, weight_hh and perhaps bias_ih, bias_hh and weight_hr.

    (what it makes [T, B, D*H], its final states).
    """
    kernel, recurrent = (drawing.constant(np.stack([kind.ordered(side[number]) for side in own])) for number in (0, 1))
    bias = ""
    if len(own[0]) >= 4:
        bias = drawing.constant(np.stack([np.concatenate([kind.ordered(one) for one in side[2:4]]) for side in own]))
    more = ["", drawing.constant(np.stack([side[-1].T for side in own]))] if len(own[0]) % 2 else []  # torch has it [p, u]
    options: dict[str, Any] = {
        "hidden_size": len(own[0][0]) // len(kind.order),
        "direction": "bidirectional" if len(own) == 2 else "forward",
    }
    if kind is GRU:
        options["linear_before_reset"] = 1
    if "activation" in attributes:
        options["activations"] = [attributes["activation"]] * len(own)
    made, *ends = drawing.node(kind.operator, [x, kernel, recurrent, bias, "", *starts, *more], 1 + kind.states, **options)
    if len(own) == 1:
        return drawing.squeezed(made, [1]), ends
    return drawing.reshaped(drawing.transposed(made, [0, 2, 1, 3]), [0, 0, -1]), ends


CELLS: Final[Mapping[str, Draw]] = {
    "lstm_cell": _cell(LSTM),
    "gru_cell": _cell(GRU),
    "rnn_tanh_cell": _cell(RNN, activation="Tanh"),
    "rnn_relu_cell": _cell(RNN, activation="Relu"),
}
RECURRENT: Final[Mapping[str, Draw]] = {
    "lstm": _recurrent(LSTM),
    "gru": _recurrent(GRU),
    "rnn_tanh": _recurrent(RNN, activation="Tanh"),
    "rnn_relu": _recurrent(RNN, activation="Relu"),
    **CELLS,
}
