"""Keras's .keras archives (Keras 3 and tf-keras): metadata.json, config.json and model.weights.h5 in one zip.

The weights lie under a name made of the layer's class and a counter, not of its own name. Source: Keras 3,
keras/src/saving/saving_lib.py. Knows the places in the archive, not what the layers mean.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.hdf5 import ArrayReader, opened
from cellserve.models.importers.imported import ImportedModel
from cellserve.models.importers.keras.files.filing import OLD_ROOT, ROOTS, Filing
from cellserve.models.importers.keras.files.tied import layer_name, layers_of
from cellserve.models.importers.keras.graph import Claim, Place
from cellserve.models.importers.keras.importing import import_keras
from cellserve.models.importers.limits import MAX_EXPANSION, MAX_JSON_BYTES, MAX_TOTAL_BYTES, SMALL_BYTES

BESIDE_LAYERS: Final = ("vars", "optimizer")  # of a model: its own arrays, and those of its training


def load_archive(path: Path, description: Description) -> ImportedModel:
    """Raises ImportRefused: damaged, too large unpacked, or anything the model asks for that is not supported."""
    source = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = _json(archive, "metadata.json", source)
            model = _json(archive, "config.json", source)
            stored = io.BytesIO(_member(archive, "model.weights.h5", source, MAX_TOTAL_BYTES))
        version = metadata.get("keras_version")
        with opened(stored, source) as file:
            return import_keras(
                path,
                model,
                VarsStore(file, model, source),
                description,
                keeper=path,
                version=None if version is None else str(version),
                backend=None,
            )
    except ImportRefused:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, KeyError, ValueError) as error:
        raise ImportRefused(source, f"the archive is damaged or cut short ({error}); copy the file again") from error


def _member(archive: zipfile.ZipFile, name: str, source: str, limit: int) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError as error:
        raise ImportRefused(source, f"the archive holds no {name}; it is damaged, or not a whole model") from error
    bomb = entry.file_size > SMALL_BYTES and entry.file_size > MAX_EXPANSION * max(entry.compress_size, 1)
    if entry.file_size > limit or bomb:
        raise ImportRefused(
            source, f"{name} unpacks to {entry.file_size:,} bytes, which is not believable for a model; it is refused"
        )
    with archive.open(entry) as member:
        return member.read(entry.file_size)


def _json(archive: zipfile.ZipFile, name: str, source: str) -> Mapping[str, Any]:
    content = json.loads(_member(archive, name, source, MAX_JSON_BYTES))
    if not isinstance(content, Mapping):
        raise ImportRefused(source, f"{name} holds no description of a model; the archive is damaged")
    return content


def holds_vars(file: h5py.File) -> bool:
    """Whether an HDF5 file is laid out as in an archive (Keras 3's save_weights writes such files alone)."""
    return "layer_names" not in file.attrs and any(isinstance(file.get(root), h5py.Group) for root in (*ROOTS, "vars"))


class VarsStore:
    """Arrays at <layer>/<part…>/vars/0, 1, …

    Of a subclassed model, layers whose attributes come before "layers" in the alphabet are filed under those, outside of it.
    """

    def __init__(self, file: h5py.File, model: Mapping[str, Any], source: str) -> None:
        self._source = source
        self._reader = ArrayReader(file, source)
        root = next((name for name in ROOTS if isinstance(file.get(name), h5py.Group)), None)
        if root is None and not isinstance(file.get("vars"), h5py.Group):
            raise ImportRefused(source, "model.weights.h5 holds no layers; the archive is damaged")
        self._root: h5py.Group = file["vars" if root is None else root]
        self._attributes: Mapping[str, Any] = {name: group for name, group in file.items() if name not in (root, *BESIDE_LAYERS)}
        layers = {layer_name(raw): raw for raw in layers_of(model)}
        self._filing = Filing(layers, _groups(self._root), _written(self._root), attributes_rise=root == OLD_ROOT)

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        group = self._vars(place)
        return [tuple(group[name].shape) for name in sorted(group, key=int)]

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]:
        group = self._vars(claim.place)
        wanted = [str(index) for index in range(claim.count)]
        if sorted(group, key=int) != wanted:
            raise ImportRefused(
                self._source,
                f"it needs {claim.count} weight arrays and the file holds {len(group)} for it",
                layer=claim.place.keras_layer,
            )
        return [self._reader.read(group[name], name, claim.place.keras_layer) for name in wanted]

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        """Here every part has a place of its own, frozen or not."""
        return []

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        """`arrays` has seen to it."""

    def _vars(self, place: Place) -> h5py.Group:
        group = self._root.get(f"{self._filing.group((place.keras_layer, *place.part))}/vars")
        attribute = self._attributes.get(place.keras_layer)
        if not isinstance(group, h5py.Group) and isinstance(attribute, h5py.Group):
            group = attribute.get("/".join((*place.part, "vars")))
        if not isinstance(group, h5py.Group):
            raise ImportRefused(self._source, "the file holds no weights for it", layer=place.keras_layer)
        return group


def _written(root: h5py.Group) -> dict[str, str]:
    """Layer name to group, by the names that Keras 3 writes beside the arrays."""
    found: dict[str, str] = {}
    for place, group in root.items():
        name = group["vars"].attrs.get("name") if isinstance(group, h5py.Group) and "vars" in group else None
        if name is not None:
            found[name.decode() if isinstance(name, bytes) else str(name)] = place
    return found


def _groups(root: h5py.Group) -> list[str]:
    """All that hold arrays or others that do."""
    found: list[str] = []
    root.visititems(lambda name, entry: found.append(name) if isinstance(entry, h5py.Group) else None)
    return [name for name in found if name.rpartition("/")[2] != "vars"]
