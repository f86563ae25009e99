"""One recurrent layer over one row: the cells' equations, direction, and what a masked step emits.

Sources: Keras 0.1 to 3 recurrent layers (LSTM blocks i, f, c, o; GRU and JZS blocks z, r, h), torch.nn.LSTM for the
projection, TensorFlow 1.15 LSTMCell for peepholes and clips. Knows no other rows and no other layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.cells import (
    GruLayer,
    JzsLayer,
    LstmLayer,
    MinGruLayer,
    MinLstmLayer,
    SimpleDeepRnnLayer,
    SimpleRnnLayer,
    SLstmLayer,
)
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import UnknownKind
from cellserve.models.reference.activations import apply

Array = npt.NDArray[Any]
State = dict[str, Array]
LOG_SIGMOID: Final = Activation(name="log_sigmoid")


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
        valid = _counts(layer, x[t], mask is None or bool(mask[t]), masked=mask is not None)
        if valid:
            state = _step(layer, arrays, x[t], state)
            seen = True
            outputs.append(state["h"])
        elif layer.mask_rule == "reset":
            state = _step(layer, arrays, x[t], state)
            outputs.append(state["h"])
            state = {name: array * 0 if name in layer.newest_states else array for name, array in state.items()}
        else:
            outputs.append(_masked_output(layer, state["h"], seen))
    return (np.stack(outputs) if layer.return_sequences else outputs[-1]), state


def _counts(layer: RecurrentLayer, x: Array, valid: bool, *, masked: bool) -> bool:  # x [F]
    """Whether a step advances the state; `masked`: the sequence has a mask at all."""
    if layer.mask_rule == "ignore":
        return True
    if layer.mask_rule == "zero_or_empty" and masked:
        return valid and bool(np.any(x != 0))
    return valid


def _masked_output(layer: RecurrentLayer, h: Array, seen: bool) -> Array:  # [out]
    """The previous output is the carried h once a step was valid; before that the rules differ."""
    if layer.mask_rule in ("zero", "zero_or_empty") or (layer.mask_rule == "repeat" and not seen):
        return np.zeros_like(h)
    return h


def _step(layer: RecurrentLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:  # x [F]
    """Raises UnknownKind: a cell that the oracle does not list."""
    if (step := STEPS.get(type(layer))) is None:
        raise UnknownKind(layer.name, layer.kind, "the oracle's cells (STEPS)")
    return step(layer, arrays, x, state)


def _simple_rnn(layer: SimpleRnnLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    given, carried = x @ arrays["kernel"] + arrays.get("bias", 0), state["h"] @ arrays["recurrent_kernel"]
    total = given * carried if layer.combine == "multiply" else given + carried
    return {"h": apply(layer.activation, _clipped(total, layer.gate_clip))}


def _lstm(layer: LstmLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    h, c = state["h"], state["c"]
    total = x @ arrays["kernel"] + h @ arrays["recurrent_kernel"] + arrays.get("bias", 0)
    i, f, candidate, o = (total[gate * layer.units : (gate + 1) * layer.units] for gate in range(4))
    if layer.peepholes:
        i = i + arrays["peephole_i"] * c
        f = f + arrays["peephole_f"] * c
    i, f, candidate = (_clipped(gate, layer.gate_clip) for gate in (i, f, candidate))
    kept = apply(layer.recurrent_activation, f) * c
    added = apply(layer.recurrent_activation, i) * apply(layer.activation, candidate)
    new_c = _clipped(kept + added, layer.cell_clip)
    if layer.peepholes:
        o = o + arrays["peephole_o"] * new_c
    shown = apply(layer.activation if layer.output_activation is None else layer.output_activation, new_c)
    new_h = apply(layer.recurrent_activation, _clipped(o, layer.gate_clip)) * shown
    if layer.projection_units is not None:
        new_h = _clipped(new_h @ arrays["projection"], layer.projection_clip)
    return {"h": new_h, "c": new_c}


def _clipped(x: Array, bound: float | None) -> Array:
    return x if bound is None else np.clip(x, -bound, bound)


def _gru(layer: GruLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    h, units = state["h"], layer.units
    update, reset, new = slice(0, units), slice(units, 2 * units), slice(2 * units, 3 * units)
    U = arrays["recurrent_kernel"]
    projected = x @ arrays["kernel"] + arrays.get("bias", 0)
    recurrent_bias = arrays.get("recurrent_bias", np.zeros(3 * units, dtype=h.dtype))
    bound = layer.gate_clip
    z = apply(layer.recurrent_activation, _clipped(projected[update] + h @ U[:, update] + recurrent_bias[update], bound))
    r = apply(layer.recurrent_activation, _clipped(projected[reset] + h @ U[:, reset] + recurrent_bias[reset], bound))
    if layer.reset_after:
        carried = r * (h @ U[:, new] + recurrent_bias[new])
    else:
        carried = (r * h) @ U[:, new]
    candidate = apply(layer.activation, _clipped(projected[new] + carried, bound))
    return {"h": z * h + (1 - z) * candidate}


def _min_gru(layer: MinGruLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    projected = x @ arrays["kernel"] + arrays.get("bias", 0)
    z = apply(layer.recurrent_activation, projected[: layer.units])
    return {"h": (1 - z) * state["h"] + z * apply(layer.activation, projected[layer.units :])}


def _min_lstm(layer: MinLstmLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    """The logarithms of both gates, less the larger, so that one of them is 1."""
    f, i, candidate = np.split(x @ arrays["kernel"] + arrays.get("bias", 0), 3)
    log_f, log_i = apply(LOG_SIGMOID, f), apply(LOG_SIGMOID, i)
    kept, added = np.exp(log_f - np.maximum(log_f, log_i)), np.exp(log_i - np.maximum(log_f, log_i))
    return {"h": (kept * state["h"] + added * apply(layer.activation, candidate)) / (kept + added)}


def _slstm(layer: SLstmLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    total = x @ arrays["kernel"] + state["h"] @ arrays["recurrent_kernel"] + arrays.get("bias", 0)
    i, f, candidate, o = np.split(total, 4)
    past = state["m"] + (f if layer.forget_gate == "exponential" else apply(LOG_SIGMOID, f))
    m = np.where(state["n"] == 0, i, np.maximum(past, i))
    kept, added = np.exp(np.minimum(past - m, 0)), np.exp(i - m)
    c = kept * state["c"] + added * apply(layer.activation, candidate)
    n = kept * state["n"] + added
    return {"h": apply(layer.recurrent_activation, o) * c / n, "c": c, "n": n, "m": m}


def _jzs(layer: JzsLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    """The three of Jozefowicz et al. 2015; `P`, a projection of the input, lies in the kernel where 1 and 2 have no weights."""
    h, u = state["h"], layer.units
    W_z, W_r, W_h = (arrays["kernel"][:, block * u : (block + 1) * u] for block in range(3))
    blocks = [arrays["recurrent_kernel"][:, start : start + u] for start in range(0, arrays["recurrent_kernel"].shape[1], u)]
    U_r, U_h = blocks[-2:]
    bias = arrays.get("bias", np.zeros(3 * u, dtype=h.dtype))
    b_z, b_r = bias[:u], bias[u : 2 * u]
    if layer.variant == 1:
        z_input = x @ W_z + b_z
        new_input = np.tanh(x @ W_h) + arrays.get("candidate_bias", 0)
    else:
        z_input = x @ W_z + b_z + (np.tanh(h) if layer.variant == 3 else h) @ blocks[0]
        new_input = x @ W_h + bias[2 * u :]
    z = apply(layer.recurrent_activation, z_input)
    r = apply(layer.recurrent_activation, x @ W_r + b_r + h @ U_r)
    candidate = apply(layer.activation, new_input + (r * h) @ U_h)
    return {"h": z * candidate + (1 - z) * h}


def _simple_deep_rnn(layer: SimpleDeepRnnLayer, arrays: Mapping[str, Array], x: Array, state: State) -> State:
    total = x @ arrays["kernel"] + arrays.get("bias", 0)
    for age in range(1, layer.depth + 1):
        suffix = "" if age == 1 else f"_{age}"
        if layer.missing_steps == "zero" or state[f"valid{suffix}"][0] > 0:
            U = arrays["recurrent_kernel"][:, (age - 1) * layer.units : age * layer.units]
            total = total + apply(layer.recurrent_activation, state[f"h{suffix}"] @ U)
    new = {"h": apply(layer.activation, total), "valid": np.ones(1, dtype=x.dtype)}
    for age in range(2, layer.depth + 1):
        before = "" if age == 2 else f"_{age - 1}"
        new[f"h_{age}"] = state[f"h{before}"]
        if layer.missing_steps == "absent":
            new[f"valid_{age}"] = state[f"valid{before}"]
    return {name: new[name] for name in layer.state_widths}


STEPS: Final[Mapping[type[Layer], Callable[[Any, Mapping[str, Array], Array, State], State]]] = {
    LstmLayer: _lstm,
    SLstmLayer: _slstm,
    GruLayer: _gru,
    MinGruLayer: _min_gru,
    MinLstmLayer: _min_lstm,
    SimpleRnnLayer: _simple_rnn,
    JzsLayer: _jzs,
    SimpleDeepRnnLayer: _simple_deep_rnn,
}
