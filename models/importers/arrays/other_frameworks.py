"""Recurrent layers of frameworks of which arrays alone are imported: Flax, Haiku and MLX. Their arrays, and the canonical ones.

Sources: flax 0.12 (linen and nnx), dm-haiku 0.0.17, mlx 0.32. Knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.importers import layout
from cellserve.models.importers.layout import Array, Arrays, LayoutError, Listed

FLAX_LSTM: Final[GateOrder] = ("i", "f", "c", "o")
FLAX_GRU: Final[GateOrder] = ("r", "z", "h")
JOINED: Final = ("kernel", "recurrent_kernel", "bias")


def _flax_lstm_roles(layer: LstmLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """dense_i.kernel, dense_h.kernel, dense_h.bias; or of each gate (i, f, g, o) its kernels over x and h, and its bias."""
    _plain(layer)
    if _joined(layer, following):
        return JOINED
    return tuple(f"{part}_{gate}" for gate in FLAX_LSTM for part in ("W", "U", "b"))


def _flax_lstm(layer: LstmLayer, stored: Arrays, forget_bias: float) -> Arrays:
    own = stored if "kernel" in stored else layout.keras_1_recurrent(layer, stored)
    return {name: gate_order.reorder(array, _order_of(stored, FLAX_LSTM, layer), layer.gates) for name, array in own.items()}


def _flax_gru_roles(layer: GruLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """nnx: dense_i.kernel, dense_i.bias, dense_h.kernel; linen: of r, z and n ix.kernel, ix.bias and hx.kernel, then hn.bias."""
    _plain(layer)
    if _joined(layer, following):
        return ("kernel", "bias", "recurrent_kernel")
    return (*(f"{part}_{gate}" for gate in FLAX_GRU for part in ("W", "b", "U")), "candidate_bias")


def _flax_gru(layer: GruLayer, stored: Arrays, forget_bias: float) -> Arrays:
    """nnx has no bias over h; linen one of the candidate alone."""
    own = {name: array for name, array in stored.items() if name != "candidate_bias"}
    own = own if "kernel" in own else layout.keras_1_recurrent(layer, own)
    own = {name: gate_order.reorder(array, _order_of(stored, FLAX_GRU, layer), layer.gates) for name, array in own.items()}
    return own | {"recurrent_bias": _of_the_candidate(layer, stored.get("candidate_bias"), layer.gates)}


def _haiku_lstm_roles(layer: LstmLayer, following: Sequence[Array]) -> tuple[str, ...]:
    _plain(layer)
    return ("kernel", "bias")


def _haiku_lstm(layer: LstmLayer, stored: Arrays, forget_bias: float) -> Arrays:
    """Of [x, h], gates i, g, f, o, and 1 is added to f, as in TensorFlow 1."""
    return layout.tensorflow1_recurrent(layer, stored, gate_order.LSTM_TENSORFLOW_1, forget_bias)


def _haiku_gru_roles(layer: GruLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """w_i, w_h, b."""
    _plain(layer, reset_after=False)
    return JOINED


def _haiku_gru(layer: GruLayer, stored: Arrays, forget_bias: float) -> Arrays:
    """There z takes the new: 1 - sigmoid(x) is sigmoid(-x)."""
    signs = np.repeat(np.array([-1.0, 1.0, 1.0], np.float32), layer.units)
    for name, array in stored.items():
        if array.shape[-1:] != signs.shape:
            raise LayoutError(f"its {name} is {list(array.shape)} where [*, {len(signs)}] is expected")
    return {name: array * signs.astype(array.dtype) for name, array in stored.items()}


def _mlx_roles(layer: RecurrentLayer, following: Sequence[Array]) -> tuple[str, ...]:
    """Wx, Wh and the bias; of a GRU also bhn."""
    if isinstance(layer, LstmLayer | GruLayer):
        _plain(layer, biases=False)
    biases = ("bias_ih", "candidate_bias") if isinstance(layer, GruLayer) else ("bias_ih",)
    return ("weight_ih", "weight_hh", *(biases if layer.use_bias else ()))


def _mlx(order: GateOrder) -> Callable[[RecurrentLayer, Arrays, float], Arrays]:
    def canonical(layer: RecurrentLayer, stored: Arrays, forget_bias: float) -> Arrays:
        own = {name: array for name, array in stored.items() if name != "candidate_bias"}
        if layer.use_bias:
            own["bias_hh"] = np.zeros_like(stored["bias_ih"])
            if "candidate_bias" in stored:
                own["bias_hh"] = _of_the_candidate(layer, stored["candidate_bias"], order)
        return layout.torch_recurrent(layer, own, order)

    return canonical


def _plain(layer: LstmLayer | GruLayer, *, reset_after: bool = True, biases: bool = True) -> None:
    if isinstance(layer, GruLayer) and layer.reset_after != reset_after:
        said = "after the product; describe the layer with reset_after: true" if reset_after else "before the product"
        raise LayoutError(f"there a GRU resets {said}")
    if isinstance(layer, LstmLayer) and (layer.peepholes or layer.projection_units is not None):
        raise LayoutError("there an LSTM has neither peepholes nor a projection")
    if biases and not layer.use_bias:
        raise LayoutError(f"there a {layer.kind} always has biases")


def _joined(layer: RecurrentLayer, following: Sequence[Array]) -> bool:
    return bool(following) and following[0].shape[-1:] == (len(layer.gates) * layer.units,)


def _order_of(stored: Arrays, joined: GateOrder, layer: RecurrentLayer) -> GateOrder:
    """What was stored gate by gate is joined in the canonical order already."""
    return joined if "kernel" in stored else layer.gates


def _of_the_candidate(layer: RecurrentLayer, bias: Array | None, order: GateOrder) -> Array:
    """[3 units], zeros but for the candidate's, if it has one."""
    whole = np.zeros((len(order), layer.units), np.float32 if bias is None else bias.dtype)
    if bias is not None:
        if bias.shape != (layer.units,):
            raise LayoutError(f"its candidate's bias over h is {list(bias.shape)} where [{layer.units}] is expected")
        whole[order.index("h")] = bias
    return whole.reshape(-1)


FLAX: Final[Mapping[type[Layer], Listed]] = {
    LstmLayer: Listed(_flax_lstm_roles, _flax_lstm),
    GruLayer: Listed(_flax_gru_roles, _flax_gru),
}
HAIKU: Final[Mapping[type[Layer], Listed]] = {
    LstmLayer: Listed(_haiku_lstm_roles, _haiku_lstm),
    GruLayer: Listed(_haiku_gru_roles, _haiku_gru),
}
MLX: Final[Mapping[type[Layer], Listed]] = {
    LstmLayer: Listed(_mlx_roles, _mlx(gate_order.LSTM_TORCH)),
    GruLayer: Listed(_mlx_roles, _mlx(gate_order.GRU_TORCH)),
    SimpleRnnLayer: Listed(_mlx_roles, _mlx(gate_order.SIMPLE_RNN)),
}
