"""A recurrent layer as an ONNX Scan over plain operators: what the LSTM, GRU and RNN operators do slowly, at vector speed.

Those compute only tanh, sigmoid and relu in vectors, every other activation number by number. Here all input projections are one
product before the scan. It knows no row lengths: it gives the states after every step, for the caller to pick from. Knows no
session and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from onnx import NodeProto, helper

from cellserve.models.description import gate_order
from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.onnxruntime.activations import IN_VECTORS, NO_OPERATOR, onnx_activation
from cellserve.models.implementations.onnxruntime.graph import INPUTS, Array, Model, Piece, model, tensor

LSTM_GATES: Final = ("i", "f", "o", "c")  # so that those with one activation stand together
_FEWEST_NUMBERS: Final = 1000  # rows times units: below, a scan's own cost for each step outweighs what it saves


def state_names(layer: RecurrentLayer) -> tuple[tuple[str, str, str], ...]:
    """Of each state its name as input [B, units], as output [B, units], and as the output of every step [T, B, units]."""
    return tuple((state, f"{state}_out", f"{state}_steps") for state in layer.state_widths)


def can_scan(layer: RecurrentLayer) -> bool:
    """Not with peepholes or clips, nor with activations that are no operators."""
    if any(function.name in NO_OPERATOR for function in layer.functions.values()):
        return False
    if isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer) and layer.gate_clip is not None:
        return False
    return type(layer) in _BODIES and not (isinstance(layer, LstmLayer) and layer.peepholes)


def scanned_from(layer: RecurrentLayer) -> int | None:
    """The number of rows from which on a scan is faster than the layer's own operator; None if it never is."""
    if all(function.name in IN_VECTORS for function in layer.functions.values()) or not can_scan(layer):
        return None
    return _FEWEST_NUMBERS // layer.units + 1


def model_of(layer: RecurrentLayer, weights: Mapping[str, Array]) -> Model:
    """Of a layer without peepholes and clips that refusals.by_onnxruntime lets through; `weights`: its canonical arrays."""
    states, units = state_names(layer), layer.units
    made = piece(
        layer,
        weights,
        (INPUTS, *(given for given, *_ in states)),
        (*(made for _, made, _ in states), *(step for *_, step in states)),
    )
    return model(
        made,
        [tensor(INPUTS, "T", "B", len(weights["kernel"])), *(tensor(given, "B", units) for given, *_ in states)],
        [*(tensor(made, "B", units) for _, made, _ in states), *(tensor(step, "T", "B", units) for *_, step in states)],
    )


def piece(
    layer: RecurrentLayer, weights: Mapping[str, Array], given: Sequence[str], made: Sequence[str], prefix: str = ""
) -> Piece:
    """given: the names of the inputs [T, B, F] and of the states, each [B, units]; made: those of the states at the end, then of
    the states after every step [T, B, units]. `prefix` begins every other name.
    """
    body = _Body(layer, prefix)
    constants = _BODIES[type(layer)](body, layer, weights)
    states = state_names(layer)
    for _, end, step in states:
        body.node("Identity", [end], step)
    gates, units = constants["kernel"].shape[1] // layer.units, layer.units
    inner = helper.make_graph(
        body.nodes,
        "step",
        [*(tensor(prefix + name, "B", units) for name, *_ in states), tensor(f"{prefix}x", "B", gates * units)],
        [
            *(tensor(prefix + name, "B", units) for _, name, _ in states),
            *(tensor(prefix + name, "B", units) for *_, name in states),
        ],
    )
    inputs, *starts = given
    nodes = (
        helper.make_node("MatMul", [inputs, f"{prefix}kernel"], [f"{prefix}products"]),
        helper.make_node("Add", [f"{prefix}products", f"{prefix}bias"], [f"{prefix}projected"]),
        helper.make_node("Scan", [*starts, f"{prefix}projected"], list(made), body=inner, num_scan_inputs=1),
    )
    return Piece(nodes, {f"{prefix}{name}": array for name, array in (constants | body.sizes).items()})


@dataclass(slots=True)
class _Body:
    """The nodes of one step. `prefix` begins every name in the graph; `sizes`: how Splits cut, by name without it."""

    layer: RecurrentLayer
    prefix: str
    nodes: list[NodeProto] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)

    def node(self, operator: str, given: list[str], made: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, self._named(given), self._named([made]), **attributes))

    def activation(self, activation: Activation, given: str, made: str) -> None:
        name, alpha, beta = onnx_activation(activation)
        if name == "Affine":  # is no operator; only linear is one here
            self.node("Identity", [given], made)
        else:
            parameters = {"alpha": alpha, "beta": beta}
            self.node(name, [given], made, **{key: value for key, value in parameters.items() if value is not None})

    def split(self, given: str, made: list[str], gates: list[int]) -> None:
        """Cuts the last axis into runs of so many gates."""
        sizes = f"{given}_sizes"
        self.sizes[sizes] = np.array([count * self.layer.units for count in gates], np.int64)
        self.nodes.append(helper.make_node("Split", self._named([given, sizes]), self._named(made), axis=1))

    def _named(self, names: list[str]) -> list[str]:
        return [self.prefix + name for name in names]


def _lstm(body: _Body, layer: LstmLayer, weights: Mapping[str, Array]) -> dict[str, Array]:
    body.node("Gemm", ["h", "recurrent", "x"], "sums")
    body.split("sums", ["gates", "candidate"], [3, 1])
    body.activation(layer.recurrent_activation, "gates", "open")
    body.split("open", ["i", "f", "o"], [1, 1, 1])
    body.activation(layer.activation, "candidate", "new")
    body.node("Mul", ["f", "c"], "kept")
    body.node("Mul", ["i", "new"], "added")
    body.node("Add", ["kept", "added"], "c_out")
    body.activation(layer.output_activation or layer.activation, "c_out", "shown")
    body.node("Mul", ["o", "shown"], "h_out")

    def reordered(array: Array) -> Array:
        return gate_order.reorder(array, gate_order.LSTM, LSTM_GATES).astype(np.float32, copy=False)

    return {
        "kernel": reordered(weights["kernel"]),
        "recurrent": reordered(weights["recurrent_kernel"]),
        "bias": reordered(_bias(layer, weights)),
    }


def _gru(body: _Body, layer: GruLayer, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The recurrent bias of z and r is added before the scan; the candidate's belongs inside of the reset gate's product."""
    body.split("x", ["x_gates", "x_new"], [2, 1])
    body.node("Gemm", ["h", "recurrent", "x_gates"], "sums")
    body.activation(layer.recurrent_activation, "sums", "open")
    body.split("open", ["z", "r"], [1, 1])
    if layer.reset_after:
        body.node("Gemm", ["h", "recurrent_new", "bias_new"], "seen")
        body.node("Mul", ["r", "seen"], "kept")
        body.node("Add", ["x_new", "kept"], "candidate")
    else:
        body.node("Mul", ["r", "h"], "kept")
        body.node("Gemm", ["kept", "recurrent_new", "x_new"], "candidate")
    body.activation(layer.activation, "candidate", "new")
    body.node("Sub", ["h", "new"], "distance")
    body.node("Mul", ["z", "distance"], "held")
    body.node("Add", ["new", "held"], "h_out")
    two = 2 * layer.units
    recurrent, bias = weights["recurrent_kernel"], _bias(layer, weights)
    recurrent_bias = weights.get("recurrent_bias", np.zeros_like(bias))
    constants = {
        "kernel": weights["kernel"],
        "recurrent": recurrent[:, :two],
        "recurrent_new": recurrent[:, two:],
        "bias": np.concatenate([bias[:two] + recurrent_bias[:two], bias[two:]]),
    }
    return constants | ({"bias_new": recurrent_bias[two:]} if layer.reset_after else {})


def _simple_rnn(body: _Body, layer: SimpleRnnLayer, weights: Mapping[str, Array]) -> dict[str, Array]:
    body.node("Gemm", ["h", "recurrent", "x"], "sum")
    body.activation(layer.activation, "sum", "h_out")
    return {"kernel": weights["kernel"], "recurrent": weights["recurrent_kernel"], "bias": _bias(layer, weights)}


def _bias(layer: RecurrentLayer, weights: Mapping[str, Array]) -> Array:
    return weights["bias"] if layer.use_bias else np.zeros(weights["kernel"].shape[1], np.float32)


_BODIES: Final[Mapping[type[Layer], Callable[[_Body, Any, Mapping[str, Array]], dict[str, Array]]]] = {
    LstmLayer: _lstm,
    GruLayer: _gru,
    SimpleRnnLayer: _simple_rnn,
}
