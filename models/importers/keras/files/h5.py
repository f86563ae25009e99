"""Keras .h5 files: whole models, and weights alone beside an architecture.

Source: keras/engine/saving.py 2.2.4, tf-keras and Keras 3 legacy h5 format. Knows where the configuration and the release are
written; the arrays are a store's (h5_store, archive, lists).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.hdf5 import opened
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.keras.files.architecture import read_architecture
from cellserve.models.importers.keras.files.archive import VarsStore, holds_vars
from cellserve.models.importers.keras.files.h5_store import H5Store, holds_names
from cellserve.models.importers.keras.files.lists import ListStore, holds_lists
from cellserve.models.importers.keras.graph import Array, ArrayStore
from cellserve.models.importers.keras.importing import import_keras


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
    if not isinstance(group, h5py.Group) or not holds_names(group):
        raise ImportRefused(
            source, "the file holds no Keras weights (no layer_names); the model was saved without them or the file is damaged"
        )
    return H5Store(group, source)


def _attribute(group: h5py.Group, name: str) -> str | None:
    value = group.attrs.get(name)
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
