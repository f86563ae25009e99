"""The network under construction: what Keras's layers have become so far, and which stored arrays each one claims.

Knows neither the translation of any one layer (keras_layers, keras_recurrent) nor where the arrays lie (keras_h5, keras_archive).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras_era import Era
from cellserve.models.importers.keras_options import Config, TrainingNotes
from cellserve.models.spec import InputSpec, LayerSpec

MaskSource = tuple[str, str, float]  # ("any_not_equal" | "not_equal", tensor, value): how the mask came about


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph. `masks`: every origin of the mask that travels with it; empty for none."""

    reference: str
    sequence: bool
    masks: frozenset[MaskSource] = frozenset()


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer as its file describes it. `spec_name`: its name in our graph (each further use of a shared layer has its own)."""

    class_name: str
    name: str
    config: Config
    spec_name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """`layer` takes `count` arrays of the Keras layer `keras_layer`, from `offset` on in the order in which Keras keeps them.

    `part`: where in that layer a .keras archive files them: ("forward_layer", "cell").
    """

    layer: LayerSpec
    keras_layer: str
    part: tuple[str, ...]
    offset: int
    count: int
    cudnn: bool = False


class ArrayStore(Protocol):
    """The arrays of one file. Raises ImportRefused naming the layer where they are missing or unreadable."""

    def shapes(self, keras_layer: str, part: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Of one part: in a store that keeps a layer's arrays in one list, of the whole layer."""
        ...

    def arrays(self, claim: Claim) -> list[npt.NDArray[Any]]: ...


@dataclass
class Graph:
    source: str
    era: Era
    store: ArrayStore
    notes: TrainingNotes
    inputs: list[InputSpec] = field(default_factory=list)
    layers: list[LayerSpec] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def add(self, layer: LayerSpec, *, sequence: bool, masks: frozenset[MaskSource] = frozenset()) -> Tensor:
        self.layers.append(layer)
        return Tensor(layer.name, sequence, masks)

    def claim(
        self, layer: LayerSpec, keras: KerasLayer, count: int, part: Sequence[str] = (), *, offset: int = 0, cudnn: bool = False
    ) -> None:
        if count:
            self.claims.append(Claim(layer, keras.name, tuple(part), offset, count, cudnn))

    def refuse(self, keras: KerasLayer, what: str, option: str | None = None) -> NoReturn:
        raise ImportRefused(self.source, what, layer=keras.name, option=option)
