"""What multiplies by numbers and adds numbers feature by feature: Keras's Rescaling and Normalization, and constants in its code.

Each is a batch normalization whose arrays are computed here. Sources: keras/src/layers/preprocessing. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.stepwise import BatchNormalizationLayer
from cellserve.models.importers.keras.graph import Builder, Graph, KerasLayer, Tensor
from cellserve.models.importers.layout import LayoutError

Array = npt.NDArray[Any]
LEAST_DEVIATION: Final = 1e-7  # keras.backend.epsilon(), by which a Normalization bounds what it divides by


def affine(graph: Graph, keras: KerasLayer, source: Tensor, *, scale: Array, shift: Array) -> Tensor:
    """x scale + shift; each one number, or one for each feature."""
    width = graph.shape(source).features[-1]
    return _added(graph, keras, source, partial(_arrays, scale=scale, shift=shift, width=width))


def _rescaling(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "scale", "offset")
    scale, offset = (np.atleast_1d(np.asarray(keras.config.get(name, default), np.float64)) for name, default in OPTIONS)
    return affine(graph, keras, graph.only(keras, inputs), scale=scale, shift=offset)


def _normalization(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "axis", "mean", "variance", "invert")
    source, config = graph.only(keras, inputs), keras.config
    width, axis = graph.shape(source).features[-1], config.get("axis", -1)
    last = len(graph.shape(source).features) + source.sequence
    if (axis if isinstance(axis, list | tuple) else [axis]) not in ([-1], [last], (-1,), (last,), [None], [], ()):
        graph.refuse(keras, f"Normalization along axis {axis} is not supported; along the last axis alone it is", "axis")
    inverted = bool(config.get("invert", False))
    if config.get("mean") is not None:
        given = [np.asarray(config[name], np.float64).reshape(-1) for name in ("mean", "variance")]
        return _added(graph, keras, source, partial(_statistics, given, inverted=inverted, width=width))
    statistics = partial(_statistics, inverted=inverted, width=width)
    layer = _layer(keras, source)
    graph.claim(layer, keras, ADAPTED, part, convert=statistics)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _layer(keras: KerasLayer, source: Tensor) -> BatchNormalizationLayer:
    return BatchNormalizationLayer(name=keras.spec_name, inputs=(source.reference,), epsilon=0.0)


def _added(graph: Graph, keras: KerasLayer, source: Tensor, arrays: Any) -> Tensor:
    layer = _layer(keras, source)
    graph.made(keras, layer, arrays)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _arrays(*, scale: Array, shift: Array, width: int) -> dict[str, Array]:
    """Raises LayoutError: numbers of another width."""
    if {scale.size, shift.size} - {1, width}:
        raise LayoutError(f"its constants are of {scale.size} and {shift.size} numbers, and its input has {width} features")
    ones = np.ones(width)
    return {"gamma": scale * ones, "beta": shift * ones, "moving_mean": 0 * ones, "moving_variance": ones}


def _statistics(stored: Sequence[Array], *, inverted: bool, width: int) -> dict[str, Array]:
    """mean, variance [, how many were seen]. Raises LayoutError: of another width."""
    mean, variance = (np.asarray(array, np.float64).reshape(-1) for array in stored[:2])
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), LEAST_DEVIATION)
    if {mean.size, variance.size} - {1, width}:
        raise LayoutError(f"its mean and variance are of {mean.size} and {variance.size} numbers where {width} are expected")
    if inverted:
        return _arrays(scale=deviation, shift=mean, width=width)
    ones = np.ones(width)
    return {"gamma": ones, "beta": 0 * ones, "moving_mean": mean * ones, "moving_variance": deviation**2 * ones}


OPTIONS: Final = (("scale", 1.0), ("offset", 0.0))
ADAPTED: Final = 3  # arrays of a Normalization that was adapted to data
AFFINE: Final[dict[str, Builder]] = {"Rescaling": _rescaling, "Normalization": _normalization}
