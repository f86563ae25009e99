"""The last gate of every importer: the arrays are exactly those that the network needs, and every value is a number it can take.

Statistics with which the framework itself answers NaN are taken, and told of: a model is served as it is.

Knows no framework.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.shapes import expected_weights
from cellserve.models.errors import ImportRefused, InvalidSpec, InvalidWeights
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.importers.precision import SERVED, deviation_note, foreign
from cellserve.models.spec import ModelSpec
from cellserve.models.undefined import Undefined, undefined_normalizations
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
    undefined = undefined_normalizations(spec, arrays)
    for one in undefined:
        if one.zero:
            raise ImportRefused(str(path), f"its moving_variance {_divides_by_zero(one)}", layer=one.layer)
        if maximum := next((layer.name for layer in spec.layers if getattr(layer, "mode", None) == "max"), None):
            raise ImportRefused(str(path), f"its moving_variance {_meets_a_maximum(one, maximum)}", layer=one.layer)
    try:
        weights = Weights.of(arrays)
        weights.check(spec)
    except InvalidWeights as error:
        raise ImportRefused(str(path), str(error)) from error
    stored = {array.dtype.name for array in arrays.values() if array.dtype.itemsize < np.dtype(SERVED).itemsize}
    precision = foreign({*precisions, *stored})
    told = () if precision is None else (deviation_note(spec, weights, precision),)
    return ImportedModel(spec, weights, source, (*map(_answers_nan, undefined), *notes, *told))


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


def _divides_by_zero(found: Undefined) -> str:
    return (
        f"is zero in {found.zero} of {found.features} values when epsilon {found.epsilon:g} is added, so that the layer divides "
        "by zero: of the infinities that come of it releases of one framework make different numbers; give the layer its trained "
        "statistics and save the model again"
    )


def _meets_a_maximum(found: Undefined, maximum: str) -> str:
    return (
        f"is negative, below -epsilon, in {found.negative} of {found.features} values, so that the layer answers NaN there, and "
        f"layer {maximum!r} takes a maximum, in which frameworks pass over NaN or do not; give the layer its trained statistics "
        "and save the model again"
    )


def _answers_nan(found: Undefined) -> str:
    return (
        f"Layer {found.layer!r} answers NaN in {found.negative} of its {found.features} features, whatever it is fed, and so "
        f"does all that is computed from them: its moving_variance is negative there (the least is {found.least:.3g}), below "
        f"-epsilon ({found.epsilon:g}). The framework answers NaN too, and so it is served. A variance is never negative: these "
        "are not statistics of any data."
    )
