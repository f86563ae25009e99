"""What the compiled kernel is told of a layer, in the structures of native/description.h, and which layers it knows.

Knows no library and no torch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.layers.activation import Activation, default_alpha, takes_alpha
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, MinGruLayer, SimpleRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer

Array = NDArray[np.float32]

# In the order of FunctionName in native/description.h.
FUNCTIONS: Final = (
    *("linear", "tanh", "sigmoid", "hard_sigmoid", "hard_sigmoid_relu6", "relu", "relu6", "leaky_relu", "thresholded_relu"),
    *("elu", "selu", "celu", "softmax", "softplus", "softsign", "exponential", "gelu", "gelu_tanh", "silu", "mish"),
    *("log_sigmoid", "hard_tanh", "hard_silu", "tanh_shrink", "soft_shrink", "hard_shrink", "squareplus"),
)
# In the order of CellKind in native/description.h.
LSTM, GRU_RESET_AFTER, GRU_RESET_BEFORE, SIMPLE_RNN, SIMPLE_RNN_MULTIPLIED, MIN_GRU = range(6)

_FLOATS = ctypes.POINTER(ctypes.c_float)
_ARRAYS: Final = ("kernel", "recurrent_kernel", "bias", "recurrent_bias", "peepholes", "projection")


class Function(ctypes.Structure):
    _fields_: ClassVar = [("name", ctypes.c_int32), ("alpha", ctypes.c_float)]

    @classmethod
    def of(cls, activation: Activation) -> Function:
        alpha = activation.alpha
        if alpha is None:
            alpha = default_alpha(activation.name) if takes_alpha(activation.name) else 0.0
        return cls(FUNCTIONS.index(activation.name), alpha)


class CellDescription(ctypes.Structure):
    """It points into `arrays`, which must outlive it."""

    _fields_: ClassVar = [
        *((name, ctypes.c_int32) for name in ("kind", "inputs", "units", "projection_units")),
        *((name, Function) for name in ("activation", "recurrent_activation")),
        *((name, ctypes.c_float) for name in ("cell_clip", "projection_clip")),
        *((name, _FLOATS) for name in _ARRAYS),
    ]

    @classmethod
    def of(cls, layer: RecurrentLayer, arrays: Mapping[str, Array]) -> CellDescription:
        """arrays: as `contiguous` makes them."""
        made = cls(kind=_kind(layer), inputs=len(arrays["kernel"]), units=layer.units)
        for option, activation in layer.functions.items():
            setattr(made, option, Function.of(activation))
        if isinstance(layer, LstmLayer):
            made.projection_units = layer.projection_units or 0
            made.cell_clip, made.projection_clip = layer.cell_clip or 0.0, layer.projection_clip or 0.0
        for name in _ARRAYS:
            if name in arrays:
                setattr(made, name, arrays[name].ctypes.data_as(_FLOATS))
        return made


def contiguous(weights: Mapping[str, Array]) -> dict[str, Array]:
    """A layer's canonical arrays as the kernel reads them: peepholes stacked, [3, units]."""
    made = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
    if "peephole_i" in made:
        made["peepholes"] = np.stack([made.pop(f"peephole_{gate}") for gate in "ifo"])
    return made


def obstacle(layer: RecurrentLayer) -> str | None:
    """None, or why the kernel does not know this layer, as the end of a sentence about it."""
    if not isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer | MinGruLayer):
        return f"it is a {layer.kind} layer; the packed kernel knows lstm, gru, simple_rnn and min_gru only"
    if isinstance(layer, LstmLayer | GruLayer | SimpleRnnLayer) and layer.gate_clip is not None:
        return "it clips what goes into its gates; the packed kernel does not"
    if isinstance(layer, LstmLayer) and layer.output_activation is not None:
        return "it has an output_activation; the packed kernel takes the activation for both"
    for option, activation in layer.functions.items():
        if activation.name not in FUNCTIONS:
            return f"its {option} is {activation.name}; the packed kernel does not have it"
    return None


def _kind(layer: RecurrentLayer) -> int:
    """Raises ValueError for a layer with an obstacle."""
    if isinstance(layer, LstmLayer):
        return LSTM
    if isinstance(layer, GruLayer):
        return GRU_RESET_AFTER if layer.reset_after else GRU_RESET_BEFORE
    if isinstance(layer, SimpleRnnLayer):
        return SIMPLE_RNN if layer.combine == "add" else SIMPLE_RNN_MULTIPLIED
    if isinstance(layer, MinGruLayer):
        return MIN_GRU
    raise ValueError(obstacle(layer))
