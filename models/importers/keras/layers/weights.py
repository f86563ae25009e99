"""Stored Keras arrays into canonical ones, layer by layer. Knows no files: a store has read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import layout
from cellserve.models.importers.keras.graph import ArrayStore, Claim

Arrays = dict[str, npt.NDArray[Any]]


def collect(claims: Sequence[Claim], store: ArrayStore, source: str) -> Arrays:
    """Every claimed array by canonical name. Raises ImportRefused naming the layer whose arrays do not fit it."""
    collected: Arrays = {}
    for claim in claims:
        stored = store.arrays(claim) if claim.count else []
        try:
            own = _canonical(claim, stored)
        except ValueError as error:  # LayoutError, and NumPy's own of arrays that do not fit beside each other
            raise ImportRefused(
                source,
                f"{error}; the file is damaged or its arrays are not those of its configuration",
                layer=claim.place.keras_layer,
            ) from error
        collected |= {f"{claim.layer.name}.{name}": array for name, array in own.items()}
    return collected


def _canonical(claim: Claim, stored: Sequence[npt.NDArray[Any]]) -> Arrays:
    layer = claim.layer
    if claim.convert is not None:
        return claim.convert(stored)
    if isinstance(layer, RecurrentLayer):
        return layout.keras_recurrent(layer, stored, cudnn=claim.cudnn)
    return dict(zip(layer.arrays((1,)), stored, strict=True))
