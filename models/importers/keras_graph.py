"""The network under construction: what Keras's layers have become so far, and which stored arrays each one claims.

Knows neither the translation of any one layer (keras_layers, keras_recurrent) nor where the arrays lie (keras_h5, keras_archive).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol

import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras_era import Era
from cellserve.models.importers.keras_legacy import modernised
from cellserve.models.importers.keras_options import Config, TrainingNotes, check_options
from cellserve.models.spec import InputSpec, LayerSpec

Array = npt.NDArray[Any]
Convert = Callable[[Sequence[Array]], dict[str, Array]]
MaskSource = tuple[str, str, float]  # ("any_not_equal" | "not_equal", tensor, value): how the mask came about


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph. `masks`: every origin of the mask that travels with it; empty for none."""

    reference: str
    sequence: bool
    masks: frozenset[MaskSource] = frozenset()


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer as its file describes it. `spec_name`: its name in our graph (each further use of a shared layer has its own).

    `given_masks`: whether Keras hands the mask of its input to it.
    """

    class_name: str
    name: str
    config: Config
    spec_name: str
    given_masks: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """`layer` takes `count` arrays of the Keras layer `keras_layer`, from `offset` on in the order in which Keras keeps them.

    `part`: where in that layer a .keras archive files them: ("forward_layer", "cell"). `convert`: what makes canonical ones of
    them where they are not as Keras 2 stores them; it raises LayoutError.
    """

    layer: LayerSpec
    keras_layer: str
    part: tuple[str, ...]
    offset: int
    count: int
    cudnn: bool = False
    convert: Convert | None = None


class ArrayStore(Protocol):
    """The arrays of one file. Raises ImportRefused naming the layer where they are missing or unreadable."""

    def shapes(self, keras_layer: str, part: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Of one part: in a store that keeps a layer's arrays in one list, of the whole layer."""
        ...

    def arrays(self, claim: Claim) -> list[Array]: ...

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        """An array that nobody claims means that the layer is not what its configuration says."""
        ...


@dataclass
class Graph:
    source: str
    era: Era
    store: ArrayStore
    notes: TrainingNotes
    projections: Mapping[str, Array] = field(default_factory=dict)  # of JZS layers, which old weight files lack
    inputs: list[InputSpec] = field(default_factory=list)
    layers: list[LayerSpec] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def add(self, layer: LayerSpec, *, sequence: bool, masks: frozenset[MaskSource] = frozenset()) -> Tensor:
        self.layers.append(layer)
        return Tensor(layer.name, sequence, masks)

    def claim(
        self,
        layer: LayerSpec,
        keras: KerasLayer,
        count: int,
        part: Sequence[str] = (),
        *,
        offset: int = 0,
        cudnn: bool = False,
        convert: Convert | None = None,
    ) -> None:
        if count:
            self.claims.append(Claim(layer, keras.name, tuple(part), offset, count, cudnn, convert))

    def inside(self, keras: KerasLayer, inner: Mapping[str, Any]) -> KerasLayer:
        """The layer that a wrapper holds, {"class_name": …, "config": …}, under the wrapper's name."""
        class_name, config = modernised(str(inner.get("class_name")), inner["config"], self.era)
        return replace(keras, class_name=class_name, config=config)

    def check(self, keras: KerasLayer, *used: str) -> None:
        """Refuses an option that is set, is none of `used`, and that nobody here knows."""
        check_options(keras.class_name, keras.name, keras.config, used, self.notes)

    def only(self, keras: KerasLayer, inputs: Sequence[Tensor]) -> Tensor:
        if len(inputs) != 1:
            self.refuse(keras, f"{keras.class_name} takes one input, and here it has {len(inputs)}")
        return inputs[0]

    def end_of_mask(self, keras: KerasLayer, source: Tensor) -> None:
        """For a layer that knows no masks: standalone Keras did not run it on a masked sequence, later ones drop the mask."""
        if not source.masks:
            return
        if self.era.is_standalone:
            self.refuse(keras, f"it reads a masked sequence, which {keras.class_name} of Keras {self.era.version} does not take")
        self.notes.say(f"{keras.name}: the mask of its input ends here, as it does in {self.era.framework} {self.era.version}.")

    def refuse(self, keras: KerasLayer, what: str, option: str | None = None) -> NoReturn:
        raise ImportRefused(self.source, what, layer=keras.name, option=option)


Builder = Callable[[Graph, KerasLayer, Sequence[Tensor], tuple[str, ...]], Tensor]
"""(graph, layer, inputs, part of the archive's layer that holds the arrays) -> output."""
