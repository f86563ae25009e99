"""Keras's TimeDistributed around a model, or a layer that is more than step by step: what each inner layer is within a step.

What the inner layer takes for time is an axis of the features of a step. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Final

from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.rows import ReverseLayer
from cellserve.models.description.layers.stepwise import ReshapeLayer
from cellserve.models.description.layers.within import CELLS, WithinStepLayer
from cellserve.models.importers import layout
from cellserve.models.importers.keras.graph import Array, ArrayStore, Builder, Claim, Graph, KerasLayer, Place, Tensor
from cellserve.models.importers.keras.layers.plain import BUILDERS, DROPOUTS, FUNCTIONS, MERGES
from cellserve.models.importers.keras.layers.recurrent import CLASSES, build_bidirectional, build_recurrent

RECURRENT: Final = (*CLASSES, "Bidirectional")


@dataclass(frozen=True, slots=True)
class _Under:
    """The arrays of a layer that a wrapper holds as its `layer`."""

    store: ArrayStore
    part: tuple[str, ...]

    def place(self, place: Place) -> Place:
        return replace(place, part=(*self.part, *place.part))

    def shapes(self, place: Place) -> list[tuple[int, ...]]:
        return self.store.shapes(self.place(place))

    def arrays(self, claim: Claim) -> list[Array]:
        return self.store.arrays(replace(claim, place=self.place(claim.place)))

    def misplaced_by_loading(self, claims: Sequence[Claim]) -> list[str]:
        return self.store.misplaced_by_loading([replace(claim, place=self.place(claim.place)) for claim in claims])

    def require_all_used(self, claims: Sequence[Claim]) -> None:
        self.store.require_all_used([replace(claim, place=self.place(claim.place)) for claim in claims])


def build_within(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...] = ()) -> Tensor:
    """`part`: where in the layer the arrays are. Raises ImportRefused: a class that is not understood within a step."""
    if keras.class_name in RECURRENT:
        return _recurrent(graph, keras, graph.only(keras, inputs), part)
    if keras.class_name not in WITHIN:
        known = ", ".join(sorted([*WITHIN, *RECURRENT]))
        graph.refuse(
            keras, f"TimeDistributed around {keras.class_name} is not supported; the layers that may be inside are {known}"
        )
    return WITHIN[keras.class_name](graph, keras, inputs, part)


def _recurrent(graph: Graph, keras: KerasLayer, source: Tensor, part: tuple[str, ...]) -> Tensor:
    """Built as over time, and then every recurrent layer of it taken into the step."""
    shape, under = graph.shape(source), _Under(graph.store, part)
    if len(shape.features) != 2:
        graph.refuse(keras, f"within a step it reads {shape}, where two axes at each step are expected")
    aside = replace(graph, store=under, layers=[], claims=[])
    build = build_bidirectional if keras.class_name == "Bidirectional" else build_recurrent
    outputs = build(aside, keras, [replace(source, masks=frozenset())], ())
    if len(outputs) != 1:
        graph.refuse(keras, "it gives several tensors within a step (return_state, or merge_mode None), which is not supported")
    turned = {layer.inputs[0] for layer in aside.layers if isinstance(layer, ReverseLayer)}
    renamed: dict[str, str] = {}
    for layer in aside.layers:
        read = tuple(renamed.get(reference, reference) for reference in layer.inputs)
        if isinstance(layer, RecurrentLayer):
            if not isinstance(layer, CELLS):
                graph.refuse(keras, f"a {layer.kind} within a step is not supported; {', '.join(CELL_KINDS)} are")
            inside = WithinStepLayer(name=layer.name, inputs=read, cell=layer, turned_back=layer.name in turned)
            graph.add(inside, sequence=source.sequence)
            graph.claims += [_claim(claim, layer, inside, under) for claim in aside.claims if claim.layer is layer]
        elif isinstance(layer, ReverseLayer):
            renamed[layer.name] = read[0]
        elif isinstance(layer, MergeLayer):
            graph.add(layer.model_copy(update={"inputs": read}), sequence=source.sequence)
    return replace(source, reference=renamed.get(outputs[0].reference, outputs[0].reference))


def _claim(claim: Claim, cell: RecurrentLayer, inside: WithinStepLayer, under: _Under) -> Claim:
    convert = claim.convert or partial(layout.keras_recurrent, cell, cudnn=claim.cudnn)
    return replace(claim, layer=inside, place=under.place(claim.place), convert=convert)


def _flatten(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "data_format")
    source = graph.only(keras, inputs)
    return _laid_out(graph, keras, source, (prod(graph.shape(source).features),))


def _reshape(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "target_shape")
    source, target = graph.only(keras, inputs), [int(axis) for axis in keras.config["target_shape"]]
    numbers, known = prod(graph.shape(source).features), prod(axis for axis in target if axis != -1)
    return _laid_out(graph, keras, source, tuple(numbers // max(known, 1) if axis == -1 else axis for axis in target))


def _permute(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "dims")
    source, order = graph.only(keras, inputs), tuple(int(axis) - 1 for axis in keras.config["dims"])
    features = graph.shape(source).features
    if sorted(order) != list(range(len(features))):
        graph.refuse(keras, f"{keras.config['dims']} is no order of its {len(features)} axes; the file is damaged", "dims")
    return _laid_out(graph, keras, source, tuple(features[axis] for axis in order), order)


def _laid_out(
    graph: Graph, keras: KerasLayer, source: Tensor, features: tuple[int, ...], order: tuple[int, ...] | None = None
) -> Tensor:
    layer = ReshapeLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        features=features,
        axes=len(graph.shape(source).features),
        permutation=order,
    )
    return graph.add(layer, sequence=source.sequence)


def _embedding(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    if keras.config.get("mask_zero"):
        graph.refuse(keras, "masks within a step are not supported", "mask_zero")
    return BUILDERS["Embedding"](graph, keras, inputs, part)


CELL_KINDS: Final = tuple(str(cell.model_fields["kind"].default) for cell in CELLS)
SAME: Final = ("Dense", "BatchNormalization", "LayerNormalization", "UnitNormalization", "Rescaling", "Normalization")
WITHIN: Final[dict[str, Builder]] = {
    **{name: BUILDERS[name] for name in (*SAME, *FUNCTIONS, *DROPOUTS, *MERGES)},
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "Embedding": _embedding,
}
