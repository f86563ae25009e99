"""Keras's Reshape and Permute: of the features of each step, or, where the time dimension is fixed, of the whole row.

Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, Final, Literal

from cellserve.models.description.layers.rows import (
    FlattenLayer,
    GlobalPooling1dLayer,
    LastStepLayer,
    ReverseLayer,
    UnflattenLayer,
)
from cellserve.models.description.layers.stepwise import ReshapeLayer
from cellserve.models.importers.keras.graph import Builder, Graph, KerasLayer, Tensor


def reshaped(graph: Graph, keras: KerasLayer, source: Tensor, target: Sequence[Any]) -> Tensor:
    """`target`: without the batch; one of its numbers may be -1, or None where it is time's."""
    shape, target = graph.shape(source), [-1 if axis is None else int(axis) for axis in target]
    if not shape.features or target.count(-1) > 1:
        graph.refuse(keras, f"it lays {shape} out as {target}, which is not understood", "target_shape")
    numbers = prod(shape.features)
    if source.sequence and len(target) > 1 and prod(target[1:]) == numbers and target[0] in (-1, shape.time_steps):
        _end_of_mask(graph, keras, source)
        axes = len(shape.features)
        layer = ReshapeLayer(name=keras.spec_name, inputs=(source.reference,), features=tuple(target[1:]), axes=axes)
        return graph.add(layer, sequence=True)
    if source.sequence and shape.time_steps is None:
        graph.refuse(keras, f"it lays {shape} out anew over time, which needs a fixed number of time steps in the model's input")
    numbers *= (shape.time_steps or 1) if source.sequence else 1
    known = prod(axis for axis in target if axis != -1)
    if not known or numbers % known or (-1 not in target and known != numbers):
        graph.refuse(keras, f"it cannot lay {shape} out as {target}; the file is damaged", "target_shape")
    whole = [numbers // known if axis == -1 else axis for axis in target]
    _end_of_mask(graph, keras, source)
    vector = _flat(graph, keras, source, last=len(whole) == 1)
    return vector if len(whole) == 1 else _in_time(graph, keras, vector, whole)


def permuted(graph: Graph, keras: KerasLayer, source: Tensor, order: Sequence[int]) -> Tensor:
    """`order`: of the axes, 1 the first behind the batch."""
    shape, axes = graph.shape(source), len(graph.shape(source).features) + source.sequence
    if sorted(order) != list(range(1, axes + 1)):
        graph.refuse(keras, f"{list(order)} is no order of the axes of {shape}; the file is damaged", "dims")
    if list(order) == sorted(order):
        return source
    _end_of_mask(graph, keras, source)
    if not source.sequence or order[0] == 1:
        moved = [axis - 1 - source.sequence for axis in order[source.sequence :]]
        features = tuple(shape.features[axis] for axis in moved)
        layer = ReshapeLayer(
            name=keras.spec_name, inputs=(source.reference,), features=features, axes=len(moved), permutation=tuple(moved)
        )
        return graph.add(layer, sequence=source.sequence)
    if shape.time_steps is None or len(shape.features) != 1:
        graph.refuse(
            keras,
            f"it turns features into time in {shape}, which needs a fixed number of time steps in the model's input",
            "dims",
        )
    vector = _flat(graph, keras, source, last=False)
    in_time = UnflattenLayer(name=keras.spec_name, inputs=(vector.reference,), steps=shape.features[0], time_last=True)
    return graph.add(in_time, sequence=True)


def _reshape(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "target_shape")
    return reshaped(graph, keras, graph.only(keras, inputs), keras.config["target_shape"])


def _permute(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "dims")
    return permuted(graph, keras, graph.only(keras, inputs), keras.config["dims"])


def _flat(graph: Graph, keras: KerasLayer, source: Tensor, *, last: bool) -> Tensor:
    """All numbers of the row; `last`: there is no layer behind."""
    if not source.sequence and len(graph.shape(source).features) == 1:
        return source
    name = keras.spec_name if last else graph.free(f"{keras.spec_name}_flat")
    return graph.add(FlattenLayer(name=name, inputs=(source.reference,)), sequence=False)


def _in_time(graph: Graph, keras: KerasLayer, vector: Tensor, target: Sequence[int]) -> Tensor:
    """[batch, time, features …] of a vector."""
    deep = len(target) > 2
    name = graph.free(f"{keras.spec_name}_in_time") if deep else keras.spec_name
    laid = graph.add(UnflattenLayer(name=name, inputs=(vector.reference,), steps=target[0]), sequence=True)
    if not deep:
        return laid
    return graph.add(ReshapeLayer(name=keras.spec_name, inputs=(laid.reference,), features=tuple(target[1:])), sequence=True)


def _end_of_mask(graph: Graph, keras: KerasLayer, source: Tensor) -> None:
    """What becomes of a mask of other axes is not asked."""
    if source.masks:
        graph.refuse(keras, f"{keras.class_name} of a masked sequence is not supported")


def _squeeze(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    """Without the axes of features that are one number wide."""
    source = graph.only(keras, inputs)
    features = graph.shape(source).features
    kept = tuple(axis for axis in features if axis != 1)
    if not kept or kept == features:
        graph.refuse(keras, f"there is no axis to squeeze out of {graph.shape(source)}")
    layer = ReshapeLayer(name=keras.spec_name, inputs=(source.reference,), features=kept, axes=len(features))
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _reverse(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    source = graph.only(keras, inputs)
    _end_of_mask(graph, keras, source)
    return graph.add(ReverseLayer(name=keras.spec_name, inputs=(source.reference,)), sequence=True)


def _last_step(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    source = graph.only(keras, inputs)
    return graph.add(LastStepLayer(name=keras.spec_name, inputs=(source.reference,)), sequence=False)


def _over_time(
    graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...], *, mode: Literal["max", "average", "sum"]
) -> Tensor:
    source = graph.only(keras, inputs)
    _end_of_mask(graph, keras, source)
    return graph.add(GlobalPooling1dLayer(name=keras.spec_name, inputs=(source.reference,), mode=mode), sequence=False)


AXES: Final[dict[str, Builder]] = {"Reshape": _reshape, "Permute": _permute}
SAID: Final[dict[str, Builder]] = {
    "identity": lambda graph, keras, inputs, part: graph.only(keras, inputs),
    "last_step": _last_step,
    "max": partial(_over_time, mode="max"),
    "mean": partial(_over_time, mode="average"),
    "reverse": _reverse,
    "squeeze": _squeeze,
    "sum": partial(_over_time, mode="sum"),
}  # words for code that is never read: Lambda layers, custom ones
