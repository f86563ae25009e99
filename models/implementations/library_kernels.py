"""The kernels that libraries have of cells, by the class of the layer: what each lacks, and how it wants the weights laid out.

Facts only, from which it is known what can run a layer before any library is imported. A cell that is in neither table runs all
the same, in those implementations that loop over its steps. Gates are numbered in the order of the layer's `gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer

Lacks = Callable[[Any], str | None]
"""(layer) -> None, or what about it a kernel does not have, as the end of a sentence about the layer."""


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """Torch's own. order: in which it keeps the gates' blocks. packed_cost: of a step of packed rows, to a padded one."""

    order: GateOrder
    packed_cost: float
    lacks: Lacks


@dataclass(frozen=True, slots=True)
class OnnxOperator:
    """ONNX's own. order: in which it keeps the gates' blocks. functions: the options whose activations it lists, in its order."""

    name: str
    order: GateOrder
    functions: tuple[str, ...]
    lacks: Lacks


def torch_kernel(layer: RecurrentLayer) -> TorchKernel:
    """Raises ValueError: torch has none."""
    if (kernel := TORCH.get(type(layer))) is None:
        raise ValueError(f"it is a {layer.kind} layer; torch has kernels for {_listed(TORCH)} only")
    return kernel


def onnx_operator(layer: RecurrentLayer) -> OnnxOperator:
    """Raises ValueError: ONNX has none."""
    if (operator := ONNX.get(type(layer))) is None:
        raise ValueError(f"it is a {layer.kind} layer; ONNX has operators for {_listed(ONNX)} only")
    return operator


def _listed(layers: Iterable[type[Layer]]) -> str:
    """As a description writes them: "lstm, gru and simple_rnn"."""
    *first, last = (str(layer.model_fields["kind"].default) for layer in layers)
    return f"{', '.join(first)} and {last}"


def _wrong_function(layer: Any, torch: Mapping[str, tuple[str, ...]]) -> str | None:
    """Where torch's kernel hard-wires its activations. torch: by option, the names that it has."""
    for option, names in torch.items():
        if (found := layer.functions[option].name) not in names:
            return f"its {option} is {found}; torch's {layer.kind} kernel has {' or '.join(names)}"
    return None


def _torch_lstm_lacks(layer: LstmLayer) -> str | None:
    if (wrong := _wrong_function(layer, {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)})) is not None:
        return wrong
    if layer.output_activation is not None:
        return "it has an output_activation; torch's lstm kernel takes tanh for both"
    if layer.peepholes:
        return "it has peepholes; torch's lstm kernel has none"
    if layer.cell_clip is not None or layer.projection_clip is not None:
        return "it clips its state; torch's lstm kernel does not"
    if layer.gate_clip is not None:
        return "it clips its gates; torch's lstm kernel does not"
    if (layer.projection_units or 0) >= layer.units:
        return f"its projection_units are not fewer than its {layer.units} units, as torch's lstm kernel needs"
    return None


def _torch_gru_lacks(layer: GruLayer) -> str | None:
    if (wrong := _wrong_function(layer, {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)})) is not None:
        return wrong
    if layer.gate_clip is not None:
        return "it clips its gates; torch's gru kernel does not"
    return None if layer.reset_after else "its reset gate acts before the product; torch's gru kernel has it after"


def _torch_simple_rnn_lacks(layer: SimpleRnnLayer) -> str | None:
    if layer.combine != "add":
        return "it multiplies where torch's simple_rnn kernel adds"
    if layer.gate_clip is not None:
        return "it clips what goes into its activation; torch's simple_rnn kernel does not"
    return _wrong_function(layer, {"activation": ("tanh", "relu")})


def _onnx_lstm_lacks(layer: LstmLayer) -> str | None:
    if layer.projection_units is not None:
        return "it has a projection; ONNX's LSTM has none"
    if layer.cell_clip is not None:
        return "it clips its state; ONNX's LSTM clips what goes into the activations"
    return None


def _onnx_simple_rnn_lacks(layer: SimpleRnnLayer) -> str | None:
    return None if layer.combine == "add" else "it multiplies where ONNX's RNN adds"


TORCH: Final[Mapping[type[Layer], TorchKernel]] = {
    LstmLayer: TorchKernel(gate_order.LSTM_TORCH, 2.5, _torch_lstm_lacks),  # oneDNN's LSTM takes no packed rows
    GruLayer: TorchKernel(gate_order.GRU_TORCH, 1.2, _torch_gru_lacks),
    SimpleRnnLayer: TorchKernel(gate_order.SIMPLE_RNN, 1.2, _torch_simple_rnn_lacks),
}
ONNX: Final[Mapping[type[Layer], OnnxOperator]] = {
    LstmLayer: OnnxOperator(
        "LSTM", gate_order.LSTM_ONNX, ("recurrent_activation", "activation", "output_activation"), _onnx_lstm_lacks
    ),
    GruLayer: OnnxOperator("GRU", gate_order.GRU_ONNX, ("recurrent_activation", "activation"), lambda layer: None),
    SimpleRnnLayer: OnnxOperator("RNN", gate_order.SIMPLE_RNN, ("activation",), _onnx_simple_rnn_lacks),
}
