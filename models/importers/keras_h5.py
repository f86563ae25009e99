"""Keras .h5 files: whole models, and weights alone beside an architecture.

Source: keras/engine/saving.py 2.2.4 (attributes split in numbered pieces above 64 kB), tf-keras and Keras 3 legacy h5 format.
Knows the places in the file, not what the layers mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.architecture import read_architecture
from cellserve.models.importers.description import Description
from cellserve.models.importers.hdf5 import ArrayReader, opened
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.keras_archive import VarsStore, holds_vars
from cellserve.models.importers.keras_graph import Array, ArrayStore, Claim
from cellserve.models.importers.keras_import import import_keras
from cellserve.models.importers.keras_lists import ListStore, holds_lists


def load_h5(path: Path, description: Description, architecture: Path | None = None) -> ImportedModel:
    """Raises ImportRefused: damaged, weights without an architecture, or anything the model asks for that is not supported."""
    source = str(path)
    with opened(path, source) as file:
        model, keeper = _model(file, source, architecture)
        return import_keras(
            path,
            model,
            _store(file, model, source),
            description,
            keeper=keeper,
            version=_version(file, model),
            backend=_attribute(file, "backend") or _text(model.get("backend") or "") or None,
        )


def load_lists(path: Path, arrays: Mapping[str, Array], description: Description, architecture: Path) -> ImportedModel:
    """The arrays of Keras 0.x without an .h5 file around them. Raises ImportRefused."""
    store, projections = ListStore.of_arrays(arrays, str(path))
    model = read_architecture(architecture)
    version = model.get("keras_version")
    return import_keras(
        path,
        model,
        store,
        description,
        keeper=architecture,
        version=None if version is None else str(version),
        backend=None,
        projections=projections,
    )


def _model(file: h5py.File, source: str, architecture: Path | None) -> tuple[Mapping[str, Any], Path | str]:
    written = _attribute(file, "model_config")
    if architecture is not None:
        return read_architecture(architecture), architecture
    if written is None:
        raise ImportRefused(
            source,
            "the file holds weights without an architecture; give the model's JSON or YAML (model.to_json() or to_yaml()) "
            "with --architecture, or save the whole model with model.save()",
        )
    try:
        model = json.loads(written)
    except ValueError as error:
        raise ImportRefused(source, f"its model_config is not JSON ({error}); the file is damaged") from error
    if not isinstance(model, Mapping):
        raise ImportRefused(source, "its model_config describes no model; the file is damaged")
    return model, source


def _version(file: h5py.File, model: Mapping[str, Any]) -> str | None:
    weights, architecture = file.get("model_weights"), model.get("keras_version")
    inside = _attribute(weights, "keras_version") if isinstance(weights, h5py.Group) else None
    return _attribute(file, "keras_version") or inside or (None if architecture is None else _text(architecture))


def _store(file: h5py.File, model: Mapping[str, Any], source: str) -> ArrayStore:
    if holds_vars(file):
        return VarsStore(file, model, source)
    if holds_lists(file):
        return ListStore.of_h5(file, source)
    group = file.get("model_weights", file)
    if not isinstance(group, h5py.Group) or not _holds_attribute(group, "layer_names"):
        raise ImportRefused(
            source, "the file holds no Keras weights (no layer_names); the model was saved without them or the file is damaged"
        )
    return H5Store(group, source)


class H5Store:
    """One list of arrays for each layer, in the order of get_weights()."""

    def __init__(self, group: h5py.Group, source: str) -> None:
        self._group = group
        self._source = source
        self._reader = ArrayReader(group.file, source)
        self._paths = {layer: _names(group[layer], "weight_names") for layer in _names(group, "layer_names") if layer in group}

    def shapes(self, keras_layer: str, part: tuple[str, ...]) -> list[tuple[int, ...]]:
        names = self._names_of(keras_layer)
        group = self._group[keras_layer]
        return [tuple(self._reader.dataset(group.get(name), name, keras_layer).shape) for name in names]

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]:
        names = self._names_of(claim.keras_layer)[claim.offset : claim.offset + claim.count]
        if len(names) < claim.count:
            raise ImportRefused(
                self._source,
                f"it needs {claim.count} weight arrays and the file holds {len(names)} for it",
                layer=claim.keras_layer,
            )
        group = self._group[claim.keras_layer]
        return [self._reader.read(group.get(name), name, claim.keras_layer) for name in names]

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        for layer, names in self._paths.items():
            used = max((claim.offset + claim.count for claim in claims if claim.keras_layer == layer), default=0)
            if len(names) > used and layer != "top_level_model_weights":
                raise ImportRefused(
                    self._source,
                    f"the file holds {len(names)} weight arrays for it, {used} are expected: {', '.join(names)}",
                    layer=layer,
                )

    def _names_of(self, layer: str) -> list[str]:
        if layer not in self._paths:
            raise ImportRefused(self._source, "the file holds no weights for it", layer=layer)
        return self._paths[layer]


def _holds_attribute(group: h5py.Group, name: str) -> bool:
    return name in group.attrs or f"{name}0" in group.attrs


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, whole or in numbered pieces."""
    if attribute in group.attrs:
        pieces = [group.attrs[attribute]]
    else:
        pieces = []
        while f"{attribute}{len(pieces)}" in group.attrs:
            pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    return [_text(name) for piece in pieces for name in piece]


def _attribute(group: h5py.Group, name: str) -> str | None:
    value = group.attrs.get(name)
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
