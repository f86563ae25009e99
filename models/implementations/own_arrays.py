"""The arrays of a network sorted by their layers, whose names they bear. Knows no layers but by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from cellserve.models.description.layers.layer import Layer

Array = TypeVar("Array")


def own_arrays(layers: Iterable[Layer], arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Of each layer by its name: its canonical arrays by theirs ("kernel" …), out of those by both ("lstm.kernel" …)."""
    own: dict[str, dict[str, Array]] = {layer.name: {} for layer in layers}
    for name, array in arrays.items():
        layer_name, _, part = name.rpartition(".")
        own[layer_name][part] = array
    return own
