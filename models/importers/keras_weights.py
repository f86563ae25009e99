"""Stored Keras arrays into canonical ones, layer by layer, and the checks they must pass. Knows no files: a store has read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused, InvalidSpec, InvalidWeights
from cellserve.models.importers import layout
from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.models.importers.keras_graph import ArrayStore, Claim
from cellserve.models.shapes import expected_weights
from cellserve.models.spec import BatchNormalizationLayer, LayerNormalizationLayer, ModelSpec, RecurrentLayer
from cellserve.models.weights import Weights

Arrays = dict[str, npt.NDArray[Any]]


def collect(claims: Sequence[Claim], store: ArrayStore, source: str) -> Arrays:
    """Every claimed array by canonical name. Raises ImportRefused naming the layer whose arrays do not fit it."""
    collected: Arrays = {}
    for claim in claims:
        stored = store.arrays(claim)
        try:
            own = _canonical(claim, stored)
        except layout.LayoutError as error:
            raise ImportRefused(
                source, f"{error}; the file is damaged or its arrays are not those of its configuration", layer=claim.keras_layer
            ) from error
        collected |= {f"{claim.layer.name}.{name}": array for name, array in own.items()}
    return collected


def _canonical(claim: Claim, stored: Sequence[npt.NDArray[Any]]) -> Arrays:
    layer = claim.layer
    if isinstance(layer, RecurrentLayer):
        return layout.keras_recurrent(layer, stored, cudnn=claim.cudnn)
    if isinstance(layer, BatchNormalizationLayer | LayerNormalizationLayer):
        names = ["gamma"] * layer.scale + ["beta"] * layer.center
        if isinstance(layer, BatchNormalizationLayer):
            names += ["moving_mean", "moving_variance"]
    else:
        names = ["table"] if layer.kind == "embedding" else ["kernel", "bias"][: claim.count]
    return dict(zip(names, stored, strict=True))


def finished(spec: ModelSpec, arrays: Arrays, source: Source, notes: tuple[str, ...], path: Path) -> ImportedModel:
    """The last gate of every importer: shapes fit, every value is finite. Raises ImportRefused naming the layer."""
    try:
        expected = expected_weights(spec)
    except InvalidSpec as error:
        raise ImportRefused(str(path), f"the layers do not fit together: {error}") from error
    for name, shape in expected.items():
        layer = name.rpartition(".")[0]
        array = arrays.get(name)
        if array is None:
            raise ImportRefused(str(path), f"its array {name.rpartition('.')[2]} is missing", layer=layer)
        if array.shape != shape:
            raise ImportRefused(
                str(path), f"its {name.rpartition('.')[2]} is {list(array.shape)} where {list(shape)} is expected", layer=layer
            )
        if array.dtype.kind not in "fiu":
            raise ImportRefused(str(path), f"its {name.rpartition('.')[2]} holds {array.dtype}, not numbers", layer=layer)
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32))
        if not finite.all():
            raise ImportRefused(
                str(path),
                f"its {name.rpartition('.')[2]} holds {int((~finite).sum())} values that are NaN or infinite; the training has probably diverged",
                layer=layer,
            )
    try:
        weights = Weights.of(arrays)
        weights.check(spec)
    except InvalidWeights as error:
        raise ImportRefused(str(path), str(error)) from error
    return ImportedModel(spec, weights, source, notes)
