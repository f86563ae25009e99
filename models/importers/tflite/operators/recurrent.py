"""TFLite's fused recurrent operators as ONNX's LSTM and RNN. Their states start from zeros, as a fresh interpreter's do.

Source: tensorflow/lite/kernels/unidirectional_sequence_lstm.cc, bidirectional_sequence_lstm.cc and their simple relatives; the
numbers are places of inputs. Knows no layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.onnx.layers.recurrent import CELL_CLIP
from cellserve.models.importers.tflite.call import Call

Array = npt.NDArray[Any]
GATES: Final = ("i", "f", "c", "o")  # TFLite's order
ONNX_GATES: Final = ("i", "o", "f", "c")
LSTM_INPUTS: Final = 24  # with the four normalizations; 20 in older files
BACKWARDS: Final = 17  # by so many inputs the second direction's lie behind the first's
BEFORE: Final = "; convert the model without that, or import the model that it was converted from (.keras, .h5)"


def lstm(call: Call) -> list[str]:
    """UNIDIRECTIONAL_SEQUENCE_LSTM."""
    if any(call.has(place) for place in range(20, LSTM_INPUTS)):
        raise call.refused(f"it normalises its gates (layer_norm), as no cell here does{BEFORE}")
    if call.option("DiagonalRecurrentTensors"):
        raise call.refused(f"its recurrent weights are diagonals{BEFORE}")
    states = [_start(call, place) for place in (18, 19)]
    return [_alone(call, _lstm_nodes(call, 1, [0], states), ["forward"])]


def bidirectional_lstm(call: Call) -> list[str]:
    _refuse_auxiliary(call, range(39, 48))
    states = [_pair(call, forth, back) for forth, back in ((35, 37), (36, 38))]
    return _both(call, _lstm_nodes(call, 1, [0, BACKWARDS], states))


def rnn(call: Call) -> list[str]:
    """UNIDIRECTIONAL_SEQUENCE_RNN."""
    return [_alone(call, _rnn_nodes(call, [1], [_start(call, 4)]), ["forward"])]


def bidirectional_rnn(call: Call) -> list[str]:
    _refuse_auxiliary(call, range(9, 12))
    return _both(call, _rnn_nodes(call, [1, 5], [_pair(call, 4, 8)]))


def one_step(call: Call) -> list[str]:
    """LSTM, RNN, SVDF."""
    raise call.refused(
        "it is a single step whose states TFLite keeps from call to call, so that the file holds no sequence; import the model "
        "that it was converted from (.keras, .h5)"
    )


def _refuse_auxiliary(call: Call, places: range) -> None:
    if any(call.has(place) for place in places):
        raise call.refused(f"it reads an auxiliary input{BEFORE}")


def _lstm_nodes(call: Call, first: int, directions: Sequence[int], states: Sequence[str]) -> str:
    """Y [T, directions, B, units]."""
    stored = [_lstm_arrays(call, first + behind) for behind in directions]
    arrays = {key: np.stack([one[key] for one in stored]) for key in stored[0]}
    if any(one.keys() != stored[0].keys() for one in stored):
        raise call.refused(f"only one of its directions has peepholes{BEFORE}")
    peepholes = [call.constant("P", arrays["P"])] if "P" in arrays else []
    own = [call.constant(key, arrays[key]) for key in ("W", "R", "B")]
    activations = ["Sigmoid", *_function(call, "Tanh") * 2] * len(directions)
    clip = float(call.option("CellClip"))
    bounds = {CELL_CLIP: clip} if clip > 0 else {}
    given = [*own, "", *states, *peepholes] if any(states) or peepholes else own
    return call.emit(
        "LSTM", _time_major(call), *given, hidden_size=arrays["R"].shape[-1], activations=activations,
        direction="bidirectional" if len(directions) == 2 else "forward", **bounds,
    )  # fmt: skip


def _lstm_arrays(call: Call, first: int) -> dict[str, Array]:
    """Of one direction whose inputs' weights begin at a place: W [4u, in], R [4u, u], B [8u], P [3u] in ONNX's order of gates."""
    if call.has(first + 15) or call.has(first + 16):
        raise call.refused(f"it projects its outputs (num_proj), which is not served of a TFLite file{BEFORE}")
    coupled = not call.has(first)
    blocks: dict[str, dict[str, Array]] = {}
    for key, begin, what in (("W", first, "input weights"), ("R", first + 4, "recurrent weights"), ("B", first + 11, "bias")):
        present = GATES[1:] if coupled else GATES
        blocks[key] = {gate: call.array(begin + GATES.index(gate), f"{what} of gate {gate}") for gate in present}
    peepholes = {gate: call.optional(first + 8 + place, "peephole") for place, gate in enumerate("ifo")}
    found = {gate: array for gate, array in peepholes.items() if array is not None}
    if found:
        blocks["P"] = found
    if coupled:  # i = 1 - f, and 1 - sigmoid(x) is sigmoid(-x)
        for block in blocks.values():
            block["i"] = -block["f"] if "f" in block else np.zeros_like(block["o"])
    units = len(blocks["B"]["o"])
    if {block.shape for block in blocks["B"].values()} != {(units,)} or any(
        array.shape != (units, units) for array in blocks["R"].values()
    ) or any(array.ndim != 2 or len(array) != units for array in blocks["W"].values()):  # fmt: skip
        raise call.refused("its weights do not fit together; the file is damaged")
    made = {key: np.concatenate([blocks[key][gate] for gate in ONNX_GATES]).astype(np.float32) for key in "WRB"}
    made["B"] = np.concatenate([made["B"], np.zeros_like(made["B"])])
    if found:
        none = np.zeros(units, np.float32)
        rows = [blocks["P"].get(gate, none) for gate in "iof"]
        if any(row.shape != (units,) for row in rows):
            raise call.refused("its peepholes do not fit its units; the file is damaged")
        made["P"] = np.concatenate(rows).astype(np.float32)
    return made


def _rnn_nodes(call: Call, firsts: Sequence[int], states: Sequence[str]) -> str:
    kernels, recurrents, biases = (
        np.stack([call.array(first + place, what).astype(np.float32) for first in firsts])
        for place, what in enumerate(("weights", "recurrent weights", "bias"))
    )
    arrays = (kernels, recurrents, np.concatenate([biases, np.zeros_like(biases)], axis=-1))
    own = [call.constant(key, array) for key, array in zip("WRB", arrays)]
    return call.emit(
        "RNN", _time_major(call), *own, *(["", *states] if any(states) else []), hidden_size=recurrents.shape[-1],
        activations=_function(call, "") * len(firsts), direction="bidirectional" if len(firsts) == 2 else "forward",
    )  # fmt: skip


def _function(call: Call, usual: str) -> list[str]:
    """usual: the one that TFLite's own converter writes; "": any, none being linear."""
    name = call.activation()
    if name in ("Tanh", "Relu"):
        return [name]
    if not name and not usual:
        return ["Affine"]
    raise call.refused(f"its activation {name or 'none'} is no cell's here{BEFORE}")


def _start(call: Call, place: int) -> str:
    """As [1, B, units]; "": zeros, which a tensor that TFLite keeps begins with."""
    if not call.has(place) or call.tensor(place).variable:
        return ""
    return call.emit("Unsqueeze", call.value(place), call.whole("axes", [0]))


def _pair(call: Call, forth: int, back: int) -> str:
    states = [_start(call, place) for place in (forth, back)]
    if not any(states):
        return ""
    if not all(states):
        raise call.refused(f"only one of its directions is given a state{BEFORE}")
    return call.emit("Concat", *states, axis=0)


def _is_time_major(call: Call) -> bool:
    return bool(call.option("TimeMajor"))


def _time_major(call: Call) -> str:
    if len(call.tensor(0).shape) != 3:
        raise call.refused(f"it reads {len(call.tensor(0).shape)} axes where a sequence has three; the file may be damaged")
    return call.value(0) if _is_time_major(call) else call.transposed(call.value(0), 1, 0, 2)


def _alone(call: Call, y: str, directions: Sequence[str]) -> str:
    value = call.emit("Squeeze", y, call.whole("axes", [len(directions)]))
    return value if _is_time_major(call) else call.transposed(value, 1, 0, 2)


def _both(call: Call, y: str) -> list[str]:
    """One output of both, or one for each."""
    sides = call.emit_several("Split", 2, y, call.whole("split", [1, 1]), axis=1)
    made = [_alone(call, side, ["forward"]) for side in sides]
    return [call.emit("Concat", *made, axis=2)] if call.option("MergeOutputs") else made
