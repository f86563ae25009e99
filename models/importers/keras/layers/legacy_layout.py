"""Arrays of Keras 0 and 1 into canonical ones, where they differ from Keras 2's: gate by gate, JZS, SimpleDeepRNN, convolutions.

Sources: keras/layers/recurrent.py and normalization.py at tags 0.1.2 to 1.0.5, `preprocess_weights_for_loading` at 2.0.5. As
layout.py: knows no file formats; raises LayoutError with a sentence that its caller completes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.cells import JzsLayer, SimpleDeepRnnLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.importers.layout import Array, Arrays, LayoutError, keras_1_recurrent

JZS_ARRAYS: Final = {
    1: ("W_z", "b_z", "W_r", "U_r", "b_r", "U_h", "b_h"),
    2: ("W_z", "U_z", "b_z", "U_r", "b_r", "W_h", "U_h", "b_h"),
    3: ("W_z", "U_z", "b_z", "W_r", "U_r", "b_r", "W_h", "U_h", "b_h"),
}
PROJECTED: Final = {1: "W_h", 2: "W_r"}  # where the projection stands


def gate_by_gate(layer: RecurrentLayer, stored: Sequence[Array], gates: GateOrder) -> Arrays:
    """12 arrays of an LSTM, 9 of a GRU: W [F, u], U [u, u], b [u] for one gate after the other."""
    names = [f"{array}_{gate}" for gate in gates for array in "WUb"]
    return keras_1_recurrent(layer, dict(zip(names, stored, strict=True)))


def jzs(layer: JzsLayer, stored: Sequence[Array], projection: Array | None) -> Arrays:
    """7, 8 or 9 arrays of JZS1, 2 or 3, and in 0.2.0 the projection P [F, u] of JZS1 and 2 as the last one.

    Without it, P is `projection`, or where that is None the identity of a layer that is as wide as its input.
    """
    names = JZS_ARRAYS[layer.variant]
    own = dict(zip(names, stored, strict=False))
    for name, array in own.items():
        if array.shape[-1:] != (layer.units,) or array.ndim != (1 if name.startswith("b_") else 2):
            raise LayoutError(f"its {name} is {list(array.shape)}, which is not of {layer.units} units")
    if layer.variant in PROJECTED:
        given = np.eye(layer.units, dtype=np.float32) if projection is None else projection
        own[PROJECTED[layer.variant]] = stored[-1] if len(stored) > len(names) else given
    joined = {
        "kernel": np.concatenate([own[f"W_{gate}"] for gate in "zrh"], axis=1),
        "recurrent_kernel": np.concatenate([own[f"U_{gate}"] for gate in "zrh" if f"U_{gate}" in own], axis=1),
    }
    if layer.variant == 1:
        return joined | {"bias": np.concatenate([own["b_z"], own["b_r"]]), "candidate_bias": own["b_h"]}
    return joined | {"bias": np.concatenate([own[f"b_{gate}"] for gate in "zrh"])}


def simple_deep_rnn(layer: SimpleDeepRnnLayer, stored: Sequence[Array]) -> Arrays:
    """W [F, u], then U [u, u] for each step that it looks back, and b [u]."""
    kernel, *recurrent, bias = stored
    return {"kernel": kernel, "recurrent_kernel": np.concatenate(recurrent, axis=1), "bias": bias}


def batch_normalization_of_deviations(stored: Sequence[Array], epsilon: float) -> Arrays:
    """gamma, beta, mean and a deviation, by (x - mean) / (deviation + epsilon): as the variance of a layer without epsilon."""
    gamma, beta, mean, deviation = stored
    variance = np.square(deviation.astype(np.float64) + epsilon)
    return {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}


def conv1d(layer: Conv1dLayer, stored: Sequence[Array], *, flipped: bool) -> Arrays:
    """kernel [size, in, out] since Keras 2; [size, 1, in, out] and, before 1.1, [out, in, size, 1] in Keras 1.

    `flipped`: Theano convolves, which is to run over the kernel backwards.
    """
    kernel = stored[0]
    if kernel.ndim == 4:
        if kernel.shape[:2] != (layer.kernel_size, 1) or kernel.shape[3] != layer.units:
            kernel = kernel.transpose(2, 3, 1, 0)
        kernel = kernel[:, 0] if kernel.shape[1] == 1 else kernel
    if kernel.ndim != 3:
        raise LayoutError(f"its kernel is {list(stored[0].shape)}, which is not one of a convolution over time")
    return {"kernel": kernel[::-1] if flipped else kernel} | ({"bias": stored[1]} if layer.use_bias else {})


def prelu(stored: Sequence[Array]) -> Arrays:
    """alpha [F], or [1, F] where it is shared over the steps."""
    alpha = stored[0]
    if any(axis != 1 for axis in alpha.shape[:-1]):
        raise LayoutError(
            f"its alpha is {list(alpha.shape)}, one for each time step; only one shared by all (shared_axes=[1]) is supported"
        )
    return {"alpha": alpha.reshape(-1)}
