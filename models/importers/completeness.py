"""The last gate of every importer: the arrays are exactly those that the network needs, and every value is a number it can take.

Knows no framework.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.stepwise import BatchNormalizationLayer
from cellserve.models.description.shapes import expected_weights
from cellserve.models.errors import ImportRefused, InvalidSpec, InvalidWeights
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.importers.precision import SERVED, deviation_note, foreign
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights


def complete(
    spec: ModelSpec,
    arrays: Mapping[str, npt.NDArray[Any]],  # by canonical name
    source: Source,
    notes: tuple[str, ...],
    path: Path,
    precisions: Collection[str] = (),
) -> ImportedModel:
    """`precisions`: in which the file computes, as far as it says. Raises ImportRefused naming the layer and the array."""
    try:
        expected = expected_weights(spec)
    except InvalidSpec as error:
        raise ImportRefused(str(path), f"the layers do not fit together: {error}") from error
    for name, shape in expected.items():
        layer, _, own = name.rpartition(".")
        problem = _problem(arrays.get(name), shape)
        if problem is not None:
            raise ImportRefused(str(path), f"its {own} {problem}", layer=layer)
    for normalization in (one for one in spec.layers if isinstance(one, BatchNormalizationLayer)):
        problem = _undefined(arrays[f"{normalization.name}.moving_variance"], normalization.epsilon)
        if problem is not None:
            raise ImportRefused(str(path), f"its moving_variance {problem}", layer=normalization.name)
    try:
        weights = Weights.of(arrays)
        weights.check(spec)
    except InvalidWeights as error:
        raise ImportRefused(str(path), str(error)) from error
    stored = {array.dtype.name for array in arrays.values() if array.dtype.itemsize < np.dtype(SERVED).itemsize}
    precision = foreign({*precisions, *stored})
    told = () if precision is None else (deviation_note(spec, weights, precision),)
    return ImportedModel(spec, weights, source, (*notes, *told))


def _problem(array: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> str | None:
    if array is None:
        return "is missing from the file"
    if array.shape != shape:
        return f"is {list(array.shape)} where {list(shape)} is expected"
    if array.dtype.kind not in "fiu":
        return f"holds {array.dtype}, not numbers"
    with np.errstate(over="ignore"):
        bad = np.count_nonzero(~np.isfinite(array.astype(np.float32)))
    return f"holds {bad} values that are NaN, infinite or too large for float32" if bad else None


def _undefined(variance: npt.NDArray[Any], epsilon: float) -> str | None:  # [F]
    """Why a normalization by it gives no numbers, if so."""
    bad = np.count_nonzero(variance.astype(np.float32) + np.float32(epsilon) <= 0)
    if not bad:
        return None
    return (
        f"holds {bad} of {variance.size} values that are not above zero even with epsilon {epsilon:g} added (the least is "
        f"{variance.min():.3g}), so that the layer divides by the root of a negative number or by zero and answers NaN, in the "
        "framework too; a variance is never negative: give the layer its trained statistics and save the model again"
    )
