"""The weight files of Keras 0.x, which name nothing: layer_<k> with param_<n> in an .h5 file, layer_<k>_param_<n> in an .npz.

Numbers are sorted as numbers. Layers are known by "layer_<k>" (keras_legacy.as_keras_1). Source: Sequential.save_weights at tags
0.1.0 to 0.3.3. Knows no layers' meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import h5py

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.hdf5 import ArrayReader
from cellserve.models.importers.keras.graph import Array, Claim, Place

PARAMETER = re.compile(r"(layer_\d+)_param_(\d+)")
PROJECTION = re.compile(r"(layer_\d+)_Pmat")


def holds_lists(file: h5py.File) -> bool:
    return "nb_layers" in file.attrs and "layer_names" not in file.attrs


class ListStore:
    """One list of arrays for each layer, by "layer_<k>"."""

    def __init__(self, layers: Mapping[str, Sequence[Array]], source: str) -> None:
        self._layers = layers
        self._source = source

    @classmethod
    def of_h5(cls, file: h5py.File, source: str) -> ListStore:
        reader, layers = ArrayReader(file, source), dict[str, list[Array]]()
        for layer, group in file.items():
            if not isinstance(group, h5py.Group) or not re.fullmatch(r"layer_\d+", layer):
                raise ImportRefused(source, "this is not what Keras 0.x writes; the file is damaged", layer=layer)
            names = [f"param_{number}" for number in range(len(group))]
            layers[layer] = [reader.read(group.get(name), name, layer) for name in names]
        return cls(layers, source)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array], source: str) -> tuple[ListStore, dict[str, Array]]:
        """And the projections of JZS layers (layer_<k>_Pmat), by layer."""
        numbered: dict[str, dict[int, Array]] = {}
        projections: dict[str, Array] = {}
        for name, array in arrays.items():
            if (match := PARAMETER.fullmatch(name)) is not None:
                numbered.setdefault(match[1], {})[int(match[2])] = array
            elif (match := PROJECTION.fullmatch(name)) is not None:
                projections[match[1]] = array
            else:
                raise ImportRefused(
                    source,
                    f"the array {name!r} belongs to no layer: beside an --architecture, they are called layer_<k>_param_<n>, and "
                    "layer_<k>_Pmat for the projection of a JZS layer; any others need layers described in a --description",
                )
        for layer, own in numbered.items():
            if sorted(own) != list(range(len(own))):
                raise ImportRefused(source, f"its arrays are numbered {sorted(own)}; one is missing", layer=layer)
        return cls({layer: [own[number] for number in sorted(own)] for layer, own in numbered.items()}, source), projections

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        return [tuple(array.shape) for array in self._layers.get(place.keras_layer, ())[place.offset :]]

    def arrays(self, claim: Claim) -> list[Array]:
        place, own = claim.place, self._layers.get(claim.place.keras_layer, ())
        if len(own) < place.offset + claim.count:
            raise ImportRefused(
                self._source,
                f"it needs {claim.count} weight arrays and the file holds {len(own)} for it",
                layer=place.keras_layer,
            )
        return list(own[place.offset : place.offset + claim.count])

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        """Keras 0 froze nothing."""
        return []

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        for layer, own in self._layers.items():
            used = sum(claim.count for claim in claims if claim.place.keras_layer == layer)
            if len(own) != used:
                shapes = ", ".join(str(list(array.shape)) for array in own)
                raise ImportRefused(
                    self._source, f"the file holds {len(own)} weight arrays for it ({shapes}), {used} are expected", layer=layer
                )
