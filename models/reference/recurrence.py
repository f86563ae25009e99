"""One recurrent layer over one row: the cells' equations, direction, and what a masked step emits.

Sources: Keras 2 and 3 recurrent layers (LSTM blocks i, f, c, o; GRU blocks z, r, h), torch.nn.LSTM for the projection,
TensorFlow 1.15 LSTMCell for peepholes and clips. Knows no other rows and no other layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.reference.activations import apply
from cellserve.models.spec import GruLayer, LstmLayer, RecurrentLayer

Array = npt.NDArray[Any]
State = dict[str, Array]


def run_row(
    layer: RecurrentLayer,
    arrays: Mapping[str, Array],  # this layer's own: kernel [F,g*units], recurrent_kernel [out,g*units], bias …
    x: Array,  # [T, F]
    mask: Array | None,  # [T] bool, True = valid
    state: State,  # {"h": [out], "c": [units]}
) -> tuple[Array, State]:  # [T, out] or [out], final state
    """The layer's output (all steps in processing order, or the last one) and its final state."""
    steps = range(len(x))
    outputs: list[Array] = []
    seen = False
    for t in reversed(steps) if layer.go_backwards else steps:
        if mask is None or mask[t]:
            state = _step(layer, arrays, x[t], state)
            seen = True
            outputs.append(state["h"])
        else:
            outputs.append(_masked_output(layer, state["h"], seen))
    return (np.stack(outputs) if layer.return_sequences else outputs[-1]), state


def _masked_output(layer: RecurrentLayer, h: Array, seen: bool) -> Array:  # [out]
    """The previous output is the carried h once a step was valid; before that the rules differ."""
    if layer.mask_rule == "zero" or (layer.mask_rule == "repeat" and not seen):
        return np.zeros_like(h)
    return h


def _step(layer: RecurrentLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:  # x [F]
    if isinstance(layer, LstmLayer):
        return _lstm(layer, arrays, x, state["h"], state["c"])
    if isinstance(layer, GruLayer):
        return _gru(layer, arrays, x, state["h"])
    total = x @ arrays["kernel"] + state["h"] @ arrays["recurrent_kernel"] + arrays.get("bias", 0)
    return {"h": apply(layer.activation, total)}


def _lstm(layer: LstmLayer, arrays: Mapping[str, Array], x: Array, h: Array, c: Array) -> State:
    total = x @ arrays["kernel"] + h @ arrays["recurrent_kernel"] + arrays.get("bias", 0)
    i, f, candidate, o = (total[gate * layer.units : (gate + 1) * layer.units] for gate in range(4))
    if layer.peepholes:
        i = i + arrays["peephole_i"] * c
        f = f + arrays["peephole_f"] * c
    kept = apply(layer.recurrent_activation, f) * c
    added = apply(layer.recurrent_activation, i) * apply(layer.activation, candidate)
    new_c = _clipped(kept + added, layer.cell_clip)
    if layer.peepholes:
        o = o + arrays["peephole_o"] * new_c
    new_h = apply(layer.recurrent_activation, o) * apply(layer.activation, new_c)
    if layer.projection_units is not None:
        new_h = _clipped(new_h @ arrays["projection"], layer.projection_clip)
    return {"h": new_h, "c": new_c}


def _clipped(x: Array, bound: float | None) -> Array:
    return x if bound is None else np.clip(x, -bound, bound)


def _gru(layer: GruLayer, arrays: Mapping[str, Array], x: Array, h: Array) -> State:
    units = layer.units
    update, reset, new = slice(0, units), slice(units, 2 * units), slice(2 * units, 3 * units)
    U = arrays["recurrent_kernel"]
    projected = x @ arrays["kernel"] + arrays.get("bias", 0)
    recurrent_bias = arrays.get("recurrent_bias", np.zeros(3 * units, dtype=h.dtype))
    z = apply(layer.recurrent_activation, projected[update] + h @ U[:, update] + recurrent_bias[update])
    r = apply(layer.recurrent_activation, projected[reset] + h @ U[:, reset] + recurrent_bias[reset])
    if layer.reset_after:
        carried = r * (h @ U[:, new] + recurrent_bias[new])
    else:
        carried = (r * h) @ U[:, new]
    candidate = apply(layer.activation, projected[new] + carried)
    return {"h": z * h + (1 - z) * candidate}
