"""Convolutions and pooling over time on one row, window by window, by the definitions of Keras and TensorFlow. Knows no graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.planes import Conv2dLayer, Planar, Pooling2dLayer
from cellserve.models.description.layers.rows import AttentionPooling1dLayer, GlobalPooling1dLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Cropping1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.description.step_counts import Fill
from cellserve.models.reference.activations import apply
from cellserve.models.reference.twin import Array, Masks, Twin, ends

Arrays = Mapping[str, Array]
Pair = tuple[int, int]


def _conv1d(layer: Conv1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    (x,), outputs = inputs, []
    for window in _windows(len(x), layer.kernel_size, layer.dilation, layer.strides, layer.padding):
        total = np.zeros(layer.units, dtype=x.dtype)
        for place, t in enumerate(window):
            if 0 <= t < len(x):
                total = total + x[t] @ arrays["kernel"][place]
        outputs.append(apply(layer.activation, total + arrays.get("bias", 0)))
    return np.stack(outputs)


def _pooling(layer: Pooling1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    (x,), pool = inputs, np.max if layer.mode == "max" else np.mean
    windows = _windows(len(x), layer.pool_size, 1, layer.strides, layer.padding)
    return np.stack([pool(x[[t for t in window if 0 <= t < len(x)]], axis=0) for window in windows])


def _padding(layer: Padding1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    return padded(inputs[0], layer.before, layer.after, layer.fill)


def padded(x: Array, before: int, after: int, fill: Fill) -> Array:
    """What lies along the first axis, with so much around it."""
    last, found = len(x) - 1, []
    for place in range(-before, len(x) + after):
        if 0 <= place <= last:
            found.append(x[place])
        elif fill == "zeros":
            found.append(np.zeros_like(x[0]))
        elif fill == "edge":
            found.append(x[0 if place < 0 else last])
        else:
            found.append(x[-place if place < 0 else last - (place - last)])
    return np.stack(found)


def _cropping(layer: Cropping1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    kept: Array = inputs[0][layer.before : len(inputs[0]) - layer.after]
    return kept


def _global_pooling(layer: GlobalPooling1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """A mask counts in the average and in the sum."""
    x, mask = inputs[0], masks[0]
    if layer.mode == "max":
        largest: Array = x.max(axis=0)
        return largest
    kept = x if mask is None else x[mask]
    if layer.mode == "sum":
        total: Array = kept.sum(axis=0)
        return total
    if len(kept) == 0:
        return np.full(x.shape[1], np.nan, dtype=x.dtype)
    mean: Array = kept.mean(axis=0)
    return mean


def _attention_pooling(layer: AttentionPooling1dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    x = inputs[0] if masks[0] is None else inputs[0][masks[0]]
    steps, scores = x[:, : -layer.heads], x[:, -layer.heads :]
    if len(x) == 0:
        return np.full(layer.heads * steps.shape[1], np.nan, dtype=x.dtype)
    raised = np.exp(scores - scores.max(axis=0))
    return np.concatenate([share @ steps for share in (raised / raised.sum(axis=0)).T])


def _conv2d(layer: Conv2dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    (x,), outputs = inputs, []
    for over_time, over_bands in _planes(x, layer.kernel_size, layer.dilation, layer):
        total = np.zeros(layer.units, dtype=x.dtype)
        for row, t in enumerate(over_time):
            for column, band in enumerate(over_bands):
                if 0 <= t < x.shape[0] and 0 <= band < x.shape[1]:
                    total = total + x[t, band] @ arrays["kernel"][row, column]
        outputs.append(apply(layer.activation, total + arrays.get("bias", 0)))
    return _plane(outputs, x, layer)


def _pooling_2d(layer: Pooling2dLayer, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    (x,), outputs, pool = inputs, [], np.max if layer.mode == "max" else np.mean
    for over_time, over_bands in _planes(x, layer.pool_size, (1, 1), layer):
        there = [x[t, band] for t in over_time for band in over_bands if 0 <= t < x.shape[0] and 0 <= band < x.shape[1]]
        outputs.append(pool(np.stack(there), axis=0))
    return _plane(outputs, x, layer)


def _planes(x: Array, size: Pair, dilation: Pair, layer: Planar) -> Iterator[tuple[list[int], list[int]]]:
    """The steps and the bands of each window, in the order of the output; some of them outside where there is padding."""
    bands = [*_bands(x, size[1], dilation[1], layer)]
    for steps in _windows(len(x), size[0], dilation[0], layer.strides[0], layer.padding):
        for window in bands:
            yield steps, window


def _bands(x: Array, size: int, dilation: int, layer: Planar) -> Iterator[list[int]]:
    before, behind = layer.band_margin
    start = -before
    while start + (size - 1) * dilation < x.shape[1] + behind:
        yield [start + place * dilation for place in range(size)]
        start += layer.strides[1]


def _plane(outputs: list[Array], x: Array, layer: Planar) -> Array:
    size = layer.kernel_size if isinstance(layer, Conv2dLayer) else layer.reach
    dilation = layer.dilation if isinstance(layer, Conv2dLayer) else (1, 1)
    bands = len([*_bands(x, size[1], dilation[1], layer)])
    return np.stack(outputs).reshape(-1, bands, outputs[0].shape[-1])


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


TWINS: Final[Mapping[type[Layer], Twin]] = {
    Conv1dLayer: Twin(_conv1d, ends),
    Pooling1dLayer: Twin(_pooling, ends),
    Padding1dLayer: Twin(_padding, ends),
    Cropping1dLayer: Twin(_cropping, ends),
    Conv2dLayer: Twin(_conv2d, ends),
    Pooling2dLayer: Twin(_pooling_2d, ends),
    GlobalPooling1dLayer: Twin(_global_pooling, ends),
    AttentionPooling1dLayer: Twin(_attention_pooling, ends),
}
