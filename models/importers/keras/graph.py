"""The network under construction: what Keras's layers have become so far, and which stored arrays each one claims.

Knows neither the translation of any one layer (layers/) nor where the arrays lie (files/).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn, Protocol

import numpy.typing as npt

from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.era import Era
from cellserve.models.importers.keras.configuration.legacy import modernised
from cellserve.models.importers.keras.configuration.options import Config, TrainingNotes, check_options
from cellserve.models.importers.keras.files.names import Fork
from cellserve.models.importers.keras.mask_logic import EVERYTHING, MaskLogic
from cellserve.models.importers.keras.said import Said
from cellserve.models.spec import InputSpec, LayerSpec, ModelSpec

Array = npt.NDArray[Any]
Convert = Callable[[Sequence[Array]], dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph. `masks`: of what the mask that travels with it is made; empty for none."""

    reference: str
    sequence: bool
    masks: MaskLogic = EVERYTHING


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """One layer as its file describes it. `spec_name`: its name in our graph (each further use of a shared layer has its own).

    `around_frozen`: whether a layer around it is not trained.
    `in_steps`: whether it runs within each step of a sequence. `given_masks`: whether Keras hands the mask of its input to it.
    `after`: what a person says is done to its output after it, in words.
    """

    class_name: str
    name: str
    config: Config
    spec_name: str
    given_masks: bool = True
    around_frozen: bool = False
    in_steps: bool = False
    after: tuple[str, ...] = ()

    @property
    def frozen(self) -> bool:
        return self.around_frozen or not self.config.get("trainable", True)


@dataclass(frozen=True, slots=True)
class Within:
    """The model that layers are in: what stands before their names in the file and in our graph; "" for the whole.

    `in_steps`: whether it runs within each step of a sequence.
    """

    name: str
    spec_name: str
    frozen: bool
    in_steps: bool = False


TOP: Final = Within("", "", False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the arrays of one part of a Keras layer are, for every kind of store. `keras_layer`: "model/lstm" in a model inside.

    `part`: where in the layer a .keras archive files them: ("forward_layer", "cell"). `forks`: how their names tell them from
    those of the layer's other parts. `offset`: how many arrays of it come before them, should there be no names.
    `adapted`: by what Keras multiplies the product of two arrays that LoRA has learnt, to add that to the first one there.
    """

    keras_layer: str
    part: tuple[str, ...] = ()
    forks: tuple[Fork, ...] = ()
    offset: int = 0
    frozen: bool = False
    adapted: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """`layer` takes the `count` arrays at `place`.

    `convert`: what makes canonical ones of them where they are not as Keras 2 stores them; it raises LayoutError. A count of 0:
    arrays that are none of the file's.
    """

    layer: LayerSpec
    place: Place
    count: int
    cudnn: bool = False
    convert: Convert | None = None


class ArrayStore(Protocol):
    """The arrays of one file. Raises ImportRefused naming the layer where they are missing or unreadable."""

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        """Of the arrays there: in a store that names none, of those and of the layer's later ones."""
        ...

    def arrays(self, claim: Claim) -> list[Array]: ...

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        """The layers whose arrays lie in another order than the one in which their own Keras would take them."""
        ...

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
    said: Said = field(default_factory=Said)
    names: Collection[str] = ()  # of the file's layers
    inputs: list[InputSpec] = field(default_factory=list)
    layers: list[LayerSpec] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def add(self, layer: LayerSpec, *, sequence: bool, masks: MaskLogic = EVERYTHING) -> Tensor:
        self.layers.append(layer)
        return Tensor(layer.name, sequence, masks)

    def free(self, name: str) -> str:
        """For a layer that the file does not have: this name, or one like it if a layer of the file has it."""
        return self.free(f"{name}_") if name in self.names else name

    def claim(
        self,
        layer: LayerSpec,
        keras: KerasLayer,
        count: int,
        part: Sequence[str] = (),
        *,
        convert: Convert | None = None,
    ) -> None:
        place = Place(keras.name, tuple(part), frozen=keras.frozen, adapted=_adapted(keras.config))
        self.claim_at(place, layer, count, convert=convert)

    def claim_at(
        self, place: Place, layer: LayerSpec, count: int, *, cudnn: bool = False, convert: Convert | None = None
    ) -> None:
        if count:
            self.claims.append(Claim(layer, place, count, cudnn, convert))

    def inside(self, keras: KerasLayer, inner: Mapping[str, Any]) -> KerasLayer:
        """The layer that a wrapper holds, {"class_name": …, "config": …}, under the wrapper's name."""
        class_name, config = modernised(str(inner.get("class_name")), inner["config"], self.era)
        found = self.as_said(replace(keras, class_name=class_name, config=config, around_frozen=keras.frozen))
        if found.after:
            self.refuse(keras, "inside a wrapper nothing can follow a layer; say it of a class alone", "custom_layers")
        return found

    def as_said(self, keras: KerasLayer) -> KerasLayer:
        """The layer that a person says this one is; itself where nobody says anything. Raises ImportRefused."""
        try:
            taken = self.said.taken_for(keras.class_name, keras.name, keras.config)
        except KeyError:
            option = "lambdas" if keras.class_name == "Lambda" else "custom_layers"
            self.refuse(keras, "a layer of Keras is {class_name: …, its options …}", option)
        if taken is None:
            return keras
        what = "its code" if keras.class_name == "Lambda" else f"the code of {keras.class_name}"
        self.notes.say(f"{keras.name}: {what} was not read; it is taken for {taken.said}, as the description says.")
        return replace(keras, class_name=taken.class_name, config=taken.config, after=taken.after)

    def check(self, keras: KerasLayer, *used: str) -> None:
        """Refuses an option that is set, is none of `used`, and that nobody here knows."""
        check_options(keras.class_name, keras.name, keras.config, used, self.notes)

    def shape(self, tensor: Tensor) -> TensorShape:
        """As far as the layers so far tell. Raises InvalidSpec: they do not fit together."""
        so_far = (
            ModelSpec(inputs=tuple(self.inputs), layers=tuple(self.layers), outputs=(tensor.reference,)) if self.layers else None
        )
        if so_far is not None:
            return infer_shapes(so_far)[tensor.reference]
        entry = next(entry for entry in self.inputs if entry.name == tensor.reference)
        return TensorShape(tensor.sequence, () if entry.width is None else (entry.width,), entry.time_steps)

    def made(self, keras: KerasLayer, layer: LayerSpec, arrays: Callable[[], dict[str, Array]]) -> None:
        """Arrays that the configuration itself says, or that are computed of it; `arrays` raises LayoutError."""
        self.claims.append(Claim(layer, Place(keras.name), 0, convert=lambda stored: arrays()))

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


def _adapted(config: Config) -> float | None:
    rank = config.get("lora_rank")
    return float(config.get("lora_alpha") or rank) / float(rank) if rank else None


Builder = Callable[[Graph, KerasLayer, Sequence[Tensor], tuple[str, ...]], Tensor]
"""(graph, layer, inputs, part of the archive's layer that holds the arrays) -> output."""
