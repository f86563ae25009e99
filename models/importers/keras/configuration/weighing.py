"""Attention that a program writes itself: a Dot, a softmax, and what is added up by it, as the layers that they are.

What lies between (scores of steps by steps, the shares of a row's steps) is no tensor that a layer here could make; it is kept
until what it weighs is met. Sources: keras/src/layers/merging/dot.py. Knows no arrays but ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from cellserve.models.description.layers.attention import AttentionLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import AttentionPooling1dLayer, RepeatVectorLayer, UnflattenLayer
from cellserve.models.description.layers.stepwise import DenseLayer, UnitNormalizationLayer
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.masks import Mask
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers.plain import DROPOUTS


@dataclass(frozen=True, slots=True)
class Scores:
    """[steps of the query, steps of the keys]; `shared`: after a softmax over the latter."""

    query: Tensor
    keys: Tensor
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """[steps], how alike each is to a vector: `scores` [steps, 1] without the last axis. `shared`: after a softmax over them."""

    scores: Tensor
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """[steps, heads]: `scores` after a softmax over the steps."""

    scores: Tensor


@dataclass(frozen=True, slots=True)
class Weighted:
    """[steps, features]: each step times its share."""

    shares: Shares
    steps: Tensor


Weighing = Scores | Asked | Shares | Weighted
Dotted = Tensor | Scores | Asked | Shares
Given = Tensor | Mask | Weighing


def weighed(graph: Graph, keras: KerasLayer, inputs: Sequence[Given]) -> Tensor | Weighing | None:
    """What one call makes of these; None: it has nothing to do with weighing. Raises ImportRefused."""
    if keras.class_name in DROPOUTS and len(inputs) == 1 and isinstance(inputs[0], Weighing):
        graph.notes.record("Dropout layers", keras.name)
        return inputs[0]
    match keras.class_name, tuple(inputs):
        case "Dot", (Tensor() | Scores() | Asked() | Shares() as one, Tensor() | Scores() | Asked() | Shares() as other):
            graph.check(keras, "axes", "normalize")
            return _dot(graph, keras, one, other)
        case _, (Scores(shared=False) as scores,) if _softmax_axis(keras) in (-1, 2):
            return replace(scores, shared=True)
        case _, (Asked(shared=False) as scores,) if _softmax_axis(keras) in (-1, 1):
            return replace(scores, shared=True)
        case _, (Tensor(sequence=True) as scores,) if _softmax_axis(keras) in _over_time(graph, scores):
            return Shares(_unmasked(graph, keras, scores))
        case "Multiply", (Shares() as shares, Tensor(sequence=True) as steps) | (
            Tensor(sequence=True) as steps,
            Shares() as shares,
        ):
            if _width(graph, shares.scores) != 1:
                graph.refuse(
                    keras, "it weighs each feature of the steps by a softmax over time of its own, which is not supported"
                )
            return Weighted(shares, _unmasked(graph, keras, steps))
        case "Sum" | "sum", (Weighted(shares, steps),) if _is_time(keras.config.get("axis", 1)) and not keras.config.get(
            "keepdims"
        ):
            return _pooled(graph, keras, shares, steps, keras.spec_name)
    if any(isinstance(one, Weighing) for one in inputs):
        graph.refuse(
            keras,
            "it reads the scores of attention or their softmax over time; what is supported of those is a softmax, and a Dot, or "
            "a product and a sum over time, with the steps that they weigh",
        )
    return None


def _dot(graph: Graph, keras: KerasLayer, one: Dotted, other: Dotted) -> Tensor | Scores | Asked:
    normalized = bool(keras.config.get("normalize"))
    match _axes(keras, one, other), one, other:
        case (1, 1), Tensor(sequence=False), Tensor(sequence=False):
            both = [_unit(graph, keras, vector, place) if normalized else vector for place, vector in enumerate((one, other))]
            return _product(graph, keras, *both)
        case _ if normalized:
            graph.refuse(keras, "Dot of normalized sequences is not supported; that of vectors is", "normalize")
        case (2, 2), Tensor(sequence=True), Tensor(sequence=True):
            return Scores(_unmasked(graph, keras, one), _unmasked(graph, keras, other))
        case (2, 1), Scores(query, keys, shared=True), Tensor(sequence=True):
            read = (query.reference, _unmasked(graph, keras, other).reference, keys.reference)
            return graph.add(AttentionLayer(name=keras.spec_name, inputs=read), sequence=True)
        case (1, 1), Shares(), Tensor(sequence=True):
            return _laid_out(graph, keras, one, other, _width(graph, one.scores))
        case (1, 1), Tensor(sequence=True), Shares() if _width(graph, other.scores) == 1:
            return _laid_out(graph, keras, other, one, _width(graph, one))
        case (2, 1), Tensor(sequence=True), Tensor(sequence=False):
            return _asked(graph, keras, one, other)
        case (1, 2), Tensor(sequence=False), Tensor(sequence=True):
            return _asked(graph, keras, other, one)
        case (1, 1), Tensor(sequence=True), Asked(scores, shared=True):
            return _pooled(graph, keras, Shares(scores), _unmasked(graph, keras, one), keras.spec_name)
        case (1, 1), Asked(scores, shared=True), Tensor(sequence=True):
            return _pooled(graph, keras, Shares(scores), _unmasked(graph, keras, other), keras.spec_name)
    raise ImportRefused(
        graph.source,
        "this Dot is not supported; that of the features of two vectors or sequences is, and of their softmax, or of a softmax "
        "over time, with the steps that it weighs",
        layer=keras.name,
        option="axes",
    )


def _asked(graph: Graph, keras: KerasLayer, steps: Tensor, vector: Tensor) -> Asked:
    """How alike each step is to a vector."""
    _unmasked(graph, keras, steps)
    name = graph.free(f"{keras.spec_name}_query")
    query = graph.add(RepeatVectorLayer(name=name, inputs=(vector.reference, steps.reference)), sequence=True)
    return Asked(_product(graph, keras, steps, query))


def _laid_out(graph: Graph, keras: KerasLayer, shares: Shares, steps: Tensor, rows: int) -> Tensor:
    """[batch, rows, …]: of each head its sum, or, the other way round, a sum of each feature."""
    vector = _pooled(graph, keras, shares, _unmasked(graph, keras, steps), graph.free(f"{keras.spec_name}_flat"))
    return graph.add(UnflattenLayer(name=keras.spec_name, inputs=(vector.reference,), steps=rows), sequence=True)


def _pooled(graph: Graph, keras: KerasLayer, shares: Shares, steps: Tensor, name: str) -> Tensor:
    scores = shares.scores
    merge = MergeLayer(name=graph.free(f"{keras.spec_name}_scored"), inputs=(steps.reference, scores.reference), mode="concat")
    joined = graph.add(merge, sequence=True)
    pooling = AttentionPooling1dLayer(name=name, inputs=(joined.reference,), heads=_width(graph, scores))
    return graph.add(pooling, sequence=False)


def _product(graph: Graph, keras: KerasLayer, one: Tensor, other: Tensor) -> Tensor:
    """Of the features, added up: one number, at each step if they are sequences."""
    width = _width(graph, one)
    merge = MergeLayer(name=graph.free(f"{keras.spec_name}_products"), inputs=(one.reference, other.reference), mode="multiply")
    products = graph.add(merge, sequence=one.sequence)
    layer = DenseLayer(name=keras.spec_name, inputs=(products.reference,), units=1, use_bias=False)
    graph.made(keras, layer, lambda: {"kernel": np.ones((width, 1), np.float32)})
    return graph.add(layer, sequence=one.sequence)


def _unit(graph: Graph, keras: KerasLayer, vector: Tensor, place: int) -> Tensor:
    name = graph.free(f"{keras.spec_name}_unit_{place}")
    return graph.add(UnitNormalizationLayer(name=name, inputs=(vector.reference,), epsilon=LEAST_LENGTH), sequence=False)


def _axes(keras: KerasLayer, one: Dotted, other: Dotted) -> tuple[int, ...]:
    """Both counted from the batch, which is 0."""
    written = keras.config["axes"]
    both = written if isinstance(written, list | tuple) else (written, written)
    flat = [isinstance(tensor, Asked) or (isinstance(tensor, Tensor) and not tensor.sequence) for tensor in (one, other)]
    ends = [1 if is_flat else 2 for is_flat in flat]
    return tuple(int(axis) if axis >= 0 else end + 1 + int(axis) for axis, end in zip(both, ends, strict=True))


def _softmax_axis(keras: KerasLayer) -> Any:
    """Of a softmax; None for anything else."""
    if keras.in_steps or (keras.class_name != "Softmax" and keras.config.get("activation") != "softmax"):
        return None
    return keras.config.get("axis", -1) if keras.class_name == "Softmax" else -1 if keras.class_name == "Activation" else None


def _over_time(graph: Graph, scores: Tensor) -> tuple[int, ...]:
    return TIME if len(graph.shape(scores).features) == 1 else ()


def _is_time(axis: Any) -> bool:
    return axis in TIME or axis in ([1], [-2], (1,), (-2,))


def _width(graph: Graph, tensor: Tensor) -> int:
    return graph.shape(tensor).features[-1]


def _unmasked(graph: Graph, keras: KerasLayer, source: Tensor) -> Tensor:
    if source.masks:
        graph.refuse(
            keras, f"{keras.class_name} in an attention to masked sequences is not supported; send each row at its own length"
        )
    return source


LEAST_LENGTH: Final = 1e-6  # of a vector that is divided by its length
TIME: Final = (1, -2)  # in [batch, time, features]
