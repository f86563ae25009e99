"""A network put together layer by layer, each on the tensor that the one before it made. Knows no framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy.typing as npt

from cellserve.models.importers.description import Description
from cellserve.models.spec import LayerSpec

INPUT: Final = "input"


@dataclass
class Wiring:
    """`current`: the tensor that the next layer reads; `arrays`: those of all layers under their canonical names."""

    source: str
    description: Description
    current: str = INPUT
    layers: list[LayerSpec] = field(default_factory=list)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def add(self, layer: LayerSpec, arrays: dict[str, npt.NDArray[Any]] | None = None) -> None:
        self.layers.append(layer)
        self.current = layer.name
        self.arrays |= {f"{layer.name}.{name}": array for name, array in (arrays or {}).items()}
