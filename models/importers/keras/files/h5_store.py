"""The arrays of a Keras .h5 file: one list for each layer, in which the arrays are told apart by their names.

The order of a list depends on what was frozen when the file was saved (names). Names are attributes, split in numbered
pieces above 64 kB. Source: keras/engine/saving.py 2.2.4. Knows the places in the file, not what the layers mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import h5py
import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.hdf5 import ArrayReader
from cellserve.models.importers.keras.files.names import Unclear, are_names, in_loading_order, of_part
from cellserve.models.importers.keras.graph import Claim, Place

LORA: Final = re.compile(r"(?:.*/)?lora_(?:kernel|embeddings)_[ab](?:_\d+)?(?::\d+)?")


class H5Store:
    """Arrays that nothing names are taken in the order of get_weights(). What LoRA has learnt is added to what it adapts."""

    def __init__(self, group: h5py.Group, source: str) -> None:
        self._group = group
        self._source = source
        self._reader = ArrayReader(group.file, source)
        self._names = {layer: _names(group[layer], "weight_names") for layer in _names(group, "layer_names") if layer in group}

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        names = self._names_at(place)
        group = self._group[self._holder(place)]
        return [tuple(self._reader.dataset(group.get(name), name, place.keras_layer).shape) for name in names]

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]:
        names, layer = self._names_of(claim), claim.place.keras_layer
        if len(names) != claim.count:
            raise ImportRefused(
                self._source, f"it needs {claim.count} weight arrays and the file holds {len(names)} for it", layer=layer
            )
        group = self._group[self._holder(claim.place)]
        found = [self._reader.read(group.get(name), name, layer) for name in names]
        learnt = [
            self._reader.read(group.get(name), name, layer) for name in sorted(filter(LORA.fullmatch, self._own(claim.place)))
        ]
        return [self._adapted(found[0], learnt, claim.place), *found[1:]] if learnt else found

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        return [
            layer
            for layer, names in self._names.items()
            if (own := [claim for claim in claims if self._holder(claim.place) == layer])
            and are_names(names)
            and not any(map(LORA.fullmatch, names))  # which Keras puts in an order of their own
            and names != in_loading_order([(self._names_of(claim), claim.place.frozen) for claim in own])
        ]

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        for layer, names in self._names.items():
            used = {name for claim in claims if self._holder(claim.place) == layer for name in self._names_of(claim)}
            if {name for name in names if LORA.fullmatch(name) is None} - used and layer != "top_level_model_weights":
                raise ImportRefused(
                    self._source,
                    f"the file holds {len(names)} weight arrays for it, {len(used)} are expected: {', '.join(names)}",
                    layer=layer,
                )

    def _names_of(self, claim: Claim) -> list[str]:
        names = self._names_at(claim.place)
        return names if are_names(names) else names[: claim.count]

    def _adapted(self, array: npt.NDArray[Any], learnt: Sequence[npt.NDArray[Any]], place: Place) -> npt.NDArray[Any]:
        fits = len(learnt) == 2 and learnt[0].shape[-1:] == learnt[1].shape[:1] and array.dtype.kind == "f"
        if not fits or place.adapted is None or (*learnt[0].shape[:-1], *learnt[1].shape[1:]) != array.shape:
            what = (
                "what LoRA has learnt lies beside its weights and does not fit them; save a .keras file, to which Keras adds it"
            )
            raise ImportRefused(self._source, what, layer=place.keras_layer)
        low, high = (one.astype(np.float64) for one in learnt)
        return np.asarray(array + place.adapted * (low @ high), array.dtype)

    def _names_at(self, place: Place) -> list[str]:
        names = [name for name in self._own(place) if LORA.fullmatch(name) is None]
        if not are_names(names):
            return names[place.offset :]
        try:
            return of_part(names, place.forks)
        except Unclear as error:
            raise ImportRefused(self._source, str(error), layer=place.keras_layer) from error

    def _own(self, place: Place) -> list[str]:
        """Of the layer, or, of one in a model that shares a list, those that are its own."""
        holder = self._holder(place)
        if holder not in self._names:
            raise ImportRefused(self._source, "the file holds no weights for it", layer=place.keras_layer)
        names = self._names[holder]
        if holder != place.keras_layer:
            return self._of_inner(names, place.keras_layer.removeprefix(f"{holder}/").split("/"), place)
        return names

    def _holder(self, place: Place) -> str:
        """The layer in whose list a place's arrays are: itself, or the model that it is in."""
        name = place.keras_layer
        while name not in self._names and "/" in name:
            name = name.rpartition("/")[0]
        return name if name in self._names else place.keras_layer

    def _of_inner(self, names: list[str], chain: Sequence[str], place: Place) -> list[str]:
        """Of a layer in a model: the arrays whose names have it, and all models around it, among their scopes."""
        if not are_names(names):
            what = "it is in a model whose arrays have no names, so that nothing tells which are its own; save the model anew"
            raise ImportRefused(self._source, what, layer=place.keras_layer)
        own = [name for name in names if chain[-1] in name.split("/")]
        around = [name for name in own if set(chain) <= set(name.split("/"))]
        return around or own


def holds_names(group: h5py.Group) -> bool:
    """Whether it names layers, as every such file does."""
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, whole or in numbered pieces."""
    if attribute in group.attrs:
        pieces = [group.attrs[attribute]]
    else:
        pieces = []
        while f"{attribute}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for piece in pieces for name in piece]
