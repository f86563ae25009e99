"""Convolutions and pooling over time on one row, window by window, by the definitions of Keras and TensorFlow. Knows no graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.reference.activations import apply
from cellserve.models.spec import Conv1dLayer, GlobalPooling1dLayer, Padding1dLayer, Pooling1dLayer

Array = npt.NDArray[Any]


def value(
    layer: Conv1dLayer | Pooling1dLayer | Padding1dLayer | GlobalPooling1dLayer,
    arrays: Mapping[str, Array],
    x: Array,  # [T, F]
    mask: Array | None,  # [T] bool
) -> Array:  # [steps, *] or [F]
    match layer:
        case Conv1dLayer():
            return _convolved(layer, arrays, x)
        case Pooling1dLayer():
            windows = _windows(len(x), layer.pool_size, 1, layer.strides, layer.padding)
            pool = np.max if layer.mode == "max" else np.mean
            return np.stack([pool(x[[t for t in window if 0 <= t < len(x)]], axis=0) for window in windows])
        case Padding1dLayer():
            return np.concatenate([np.zeros((layer.before, x.shape[1])), x, np.zeros((layer.after, x.shape[1]))]).astype(x.dtype)
        case GlobalPooling1dLayer(mode="max"):
            largest: Array = x.max(axis=0)
            return largest
    kept = x if mask is None else x[mask]
    if len(kept) == 0:
        return np.full(x.shape[1], np.nan, dtype=x.dtype)
    mean: Array = kept.mean(axis=0)
    return mean


def _convolved(layer: Conv1dLayer, arrays: Mapping[str, Array], x: Array) -> Array:
    outputs = []
    for window in _windows(len(x), layer.kernel_size, layer.dilation, layer.strides, layer.padding):
        total = np.zeros(layer.units, dtype=x.dtype)
        for place, t in enumerate(window):
            if 0 <= t < len(x):
                total = total + x[t] @ arrays["kernel"][place]
        outputs.append(apply(layer.activation, total + arrays.get("bias", 0)))
    return np.stack(outputs)


def _windows(steps: int, size: int, dilation: int, strides: int, padding: str) -> Iterator[list[int]]:
    """The steps of each window, some before 0 or after the end where there is padding."""
    reach = (size - 1) * dilation + 1
    if padding == "valid":
        first, count = 0, (steps - reach) // strides + 1
    else:
        count = int(np.ceil(steps / strides))
        missing = max((count - 1) * strides + reach - steps, 0)
        first = -(reach - 1) if padding == "causal" else -(missing // 2)
    for number in range(count):
        start = first + number * strides
        yield [start + place * dilation for place in range(size)]
