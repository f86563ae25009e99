"""Arrays of foreign layouts into canonical ones: the only file, beside `gate_order`, that transposes, splits or joins them.

Sources: Keras 2 engine/saving.py (`_convert_rnn_weights`) for the CuDNN layers, torch.nn.RNNBase for the torch ones,
TensorFlow 1.15 rnn_cell_impl.py for its cells.
Knows no file formats and no names of layers; raises LayoutError with a sentence that its caller completes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description import gate_order
from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class LayoutError(ValueError):
    """The arrays cannot be those of this layer."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A kind of layer in the lists of arrays of one framework.

    roles: (layer, the arrays that are next in the list) -> the names of its own in order; LayoutError: a layer that the framework
    does not have. canonical: (layer, its arrays by these names, what is added to an LSTM's forget gate) -> the canonical ones.
    """

    roles: Callable[[Any, Sequence[Array]], tuple[str, ...]]
    canonical: Callable[[Any, Arrays, float], Arrays]


def keras_recurrent(layer: RecurrentLayer, stored: Sequence[Array], *, cudnn: bool = False) -> Arrays:
    """Keras 2 and later: kernel [F, g*u], recurrent_kernel [u, g*u] and, with use_bias, bias.

    The bias is [g*u]; [2, 3u] or [6u] for a GRU with reset_after (input biases, then recurrent ones); [8u] for a CuDNN LSTM,
    which a file of plain LSTM layers may hold too when it was written on a GPU.
    """
    wanted = 3 if layer.use_bias else 2
    if len(stored) != wanted:
        raise LayoutError(
            f"it has {len(stored)} weight arrays, expected {wanted}: kernel, recurrent_kernel{', bias' * layer.use_bias}"
        )
    kernel, recurrent_kernel = stored[0], stored[1]
    gates = len(layer.gates)
    _require_columns("kernel", kernel, gates * layer.units)
    _require_columns("recurrent_kernel", recurrent_kernel, gates * layer.units)
    if not layer.use_bias:
        return {"kernel": kernel, "recurrent_kernel": recurrent_kernel}
    bias = stored[2]
    if cudnn or _has_cudnn_bias(layer, bias):
        kernel = _each_gate(kernel, gates, lambda block: block.T.reshape(block.shape, order="F"))
        recurrent_kernel = _each_gate(recurrent_kernel, gates, lambda block: block.T)
    biases = _keras_biases(layer, bias, gates * layer.units)
    return {"kernel": kernel, "recurrent_kernel": recurrent_kernel, **biases}


def _has_cudnn_bias(layer: RecurrentLayer, bias: Array) -> bool:
    """CuDNN keeps two biases per gate in one row, which no plain layer does; Keras itself tells them apart by this length."""
    gates = len(layer.gates)
    return layer.kind != "simple_rnn" and bias.shape == (2 * gates * layer.units,)


def _keras_biases(layer: RecurrentLayer, bias: Array, columns: int) -> Arrays:
    if _has_recurrent_bias(layer):
        if bias.size != 2 * columns:
            raise LayoutError(f"its bias is {list(bias.shape)}; a GRU with reset_after has [2, {columns}]")
        return {"bias": bias.reshape(2, columns)[0], "recurrent_bias": bias.reshape(2, columns)[1]}
    if isinstance(layer, LstmLayer) and bias.shape == (2 * columns,):
        return {"bias": bias[:columns] + bias[columns:]}
    if bias.shape != (columns,):
        raise LayoutError(f"its bias is {list(bias.shape)} where [{columns}] is expected")
    return {"bias": bias}


def keras_1_recurrent(layer: RecurrentLayer, stored: Arrays) -> Arrays:
    """Keras 0.x and 1.x: W_g [F, u], U_g [u, u] and b_g [u] for each gate g, by these names."""
    gates = layer.gates
    for name, array in stored.items():
        if array.shape[-1:] != (layer.units,) or array.ndim != (1 if name.startswith("b_") else 2):
            raise LayoutError(f"its {name} is {list(array.shape)}, which is not of {layer.units} units")
    joined = {own: np.concatenate([stored[f"{letter}_{gate}"] for gate in gates], axis=-1) for own, letter in _KERAS_1.items()}
    return joined if layer.use_bias else {own: array for own, array in joined.items() if own != "bias"}


_KERAS_1 = {"kernel": "W", "recurrent_kernel": "U", "bias": "b"}


def torch_recurrent(layer: RecurrentLayer, stored: Arrays, foreign: GateOrder) -> Arrays:
    """torch: weight_ih [g*u, F], weight_hh [g*u, out], bias_ih, bias_hh [g*u], weight_hr [proj, u]; gates in `foreign` order."""
    canonical = layer.gates
    own = {
        "kernel": gate_order.reorder(stored["weight_ih"].T, foreign, canonical),
        "recurrent_kernel": gate_order.reorder(stored["weight_hh"].T, foreign, canonical),
    }
    if layer.use_bias:
        bias = gate_order.reorder(stored["bias_ih"], foreign, canonical)
        recurrent_bias = gate_order.reorder(stored["bias_hh"], foreign, canonical)
        if _has_recurrent_bias(layer):
            own |= {"bias": bias, "recurrent_bias": recurrent_bias}
        else:
            own |= {"bias": bias + recurrent_bias}
    if "weight_hr" in stored:
        own["projection"] = stored["weight_hr"].T
    return own


def torch_linear(stored: Arrays) -> Arrays:
    """torch: weight [out, in], or [out, in, 1 …] of a convolution that sees one place, and perhaps bias [out]."""
    weight = stored["weight"]
    if set(weight.shape[2:]) <= {1}:
        weight = weight.reshape(weight.shape[:2])
    return {"kernel": weight.T} | ({"bias": stored["bias"]} if "bias" in stored else {})


def torch_convolution(stored: Arrays, groups: int) -> Arrays:
    """torch: weight [out, in / groups, size …] of one axis or two, and perhaps bias [out]."""
    if stored["kernel"].ndim < 3:
        raise LayoutError("its weight is not that of a convolution, [out, in, size]")
    return {**stored, "kernel": ungrouped(np.moveaxis(stored["kernel"], (0, 1), (-1, -2)), groups)}


def ungrouped(kernel: Array, groups: int) -> Array:
    """A kernel [..., in / groups, out] over all inputs, with zeros where a group does not look."""
    if groups == 1:
        return kernel
    inside, outputs = kernel.shape[-2:]
    if outputs % groups:
        raise LayoutError(f"its {outputs} outputs are not of {groups} groups")
    own = outputs // groups
    whole = np.zeros((*kernel.shape[:-2], groups * inside, outputs), kernel.dtype)
    for group in range(groups):
        columns = slice(group * own, (group + 1) * own)
        whole[..., group * inside : (group + 1) * inside, columns] = kernel[..., columns]
    return whole


def linears(layer: RecurrentLayer, stored: Arrays) -> Arrays:
    """A cell of a program's own: of each gate g weight_x_g [u, F], bias_g [u], and weight_h_g [u, out] where it sees h.

    A weight that is applied head by head is [heads, u / heads, … / heads].
    """
    seeing = [layer.gates[gate] for gate in layer.recurrent_gates]
    own = {"kernel": np.concatenate([_over_all_heads(stored[f"weight_x_{gate}"]).T for gate in layer.gates], axis=1)}
    if seeing:
        over_h = [_over_all_heads(stored[f"weight_h_{gate}"]).T for gate in seeing]
        own["recurrent_kernel"] = np.concatenate(over_h, axis=1)
    if layer.use_bias:
        own["bias"] = np.concatenate([stored[f"bias_{gate}"] for gate in layer.gates])
    return own


def gate_by_gate(layer: RecurrentLayer, stored: Arrays, order: GateOrder) -> Arrays:
    """As `linears` takes them, of weight_x [g*u, F], weight_h [g*u, out] and bias [g*u], whose gates are in `order`."""
    if sorted(order) != sorted(layer.gates):
        raise LayoutError(f"its gates are {', '.join(layer.gates)}, and gate_order is {', '.join(order)}")
    seeing = {layer.gates[gate] for gate in layer.recurrent_gates}
    own: Arrays = {}
    for name, array in stored.items():
        gates = [gate for gate in order if gate in seeing] if name == "weight_h" else order
        if array.ndim == 0 or len(array) % len(gates):
            raise LayoutError(f"its {name} is {list(array.shape)}, which is not of {len(gates)} gates")
        own |= {f"{name}_{gate}": block for gate, block in zip(gates, np.split(array, len(gates)))}
    return own


def xlstm_cell(layer: RecurrentLayer, stored: Arrays) -> Arrays:
    """As `linears` takes them, of the xlstm package: weight_x_g, and all gates' weight_h and bias in one array each.

    Over h [heads, g*d, d] and gate after gate; of its CUDA backend [heads, d, g*d] and head after head.
    """
    over_h, gates = stored["weight_h"], len(layer.gates)
    heads, rows, columns = over_h.shape
    by_head = columns == gates * rows
    if not by_head and rows != gates * columns:
        raise LayoutError(f"its weights over h are {list(over_h.shape)}; of {gates} gates they are [heads, {gates} d, d]")
    if by_head:
        blocks = over_h.reshape(heads, rows, gates, rows).transpose(2, 0, 3, 1)
    else:
        blocks = over_h.reshape(heads, gates, columns, columns).transpose(1, 0, 2, 3)
    own = {name: array for name, array in stored.items() if name.startswith("weight_x_")}
    own |= {f"weight_h_{gate}": block for gate, block in zip(layer.gates, blocks)}
    if layer.use_bias:
        bias = stored["bias"]
        if bias.size != gates * layer.units:
            raise LayoutError(f"its bias is {list(bias.shape)} where [{gates * layer.units}] is expected")
        if by_head:
            bias = bias.reshape(heads, gates, rows).transpose(1, 0, 2)
        own |= {f"bias_{gate}": block for gate, block in zip(layer.gates, bias.reshape(gates, layer.units))}
    return own


def _over_all_heads(weight: Array) -> Array:
    """[heads, out, in], of which each head sees its own inputs, as [heads * out, heads * in] with zeros elsewhere."""
    if weight.ndim != 3:
        return weight
    heads, outputs, inputs = weight.shape
    whole = np.zeros((heads, outputs, heads, inputs), weight.dtype)
    for head in range(heads):
        whole[head, :, head] = weight[head]
    return whole.reshape(heads * outputs, heads * inputs)


def tensorflow1_recurrent(layer: RecurrentLayer, stored: Arrays, order: GateOrder, forget_bias: float = 0.0) -> Arrays:
    """TensorFlow 1: kernel [F+out, g*u] whose rows are [x, h], and bias; perhaps peephole_i, peephole_f, peephole_o [u] and
    projection [u, proj]. `forget_bias` is what the program adds to the f gate at run time.
    """
    kernel, bias = stored["kernel"], stored["bias"]
    _require_columns("kernel", kernel, len(order) * layer.units)
    kernel, bias = gate_order.reorder(kernel, order, layer.gates), gate_order.reorder(bias, order, layer.gates)
    added = np.repeat([forget_bias if gate == "f" else 0.0 for gate in layer.gates], layer.units)
    inputs = len(kernel) - layer.output_units
    rest = {name: array for name, array in stored.items() if name.startswith(("peephole_", "projection"))}
    return {"kernel": kernel[:inputs], "recurrent_kernel": kernel[inputs:], "bias": bias + added.astype(bias.dtype), **rest}


def tensorflow1_gru(layer: RecurrentLayer, stored: Arrays) -> Arrays:
    """gates_kernel [F+u, 2u], gates_bias, candidate_kernel [F+u, u], candidate_bias."""
    joined = {
        "kernel": np.concatenate([stored["gates_kernel"], stored["candidate_kernel"]], axis=1),
        "bias": np.concatenate([stored["gates_bias"], stored["candidate_bias"]]),
    }
    return tensorflow1_recurrent(layer, joined, (*gate_order.GRU_TENSORFLOW_1_GATES, "h"))


def _has_recurrent_bias(layer: RecurrentLayer) -> bool:
    return "recurrent_bias" in layer.arrays((layer.units,))


def _each_gate(array: Array, gates: int, change: Any) -> Array:
    return np.concatenate([change(block) for block in np.split(array, gates, axis=1)], axis=1)


def _require_columns(name: str, array: Array, columns: int) -> None:
    if array.ndim != 2 or array.shape[1] != columns:
        raise LayoutError(f"its {name} is {list(array.shape)} where [*, {columns}] is expected")
