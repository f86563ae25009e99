"""The layers around the recurrence as nodes of ONNX, as far as ONNX has them. Knows no recurrence, no chunks and no session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    MaskingLayer,
)
from cellserve.models.implementations.onnxruntime.activations import KNOWN, NO_OPERATOR, onnx_activation
from cellserve.models.implementations.onnxruntime.builder import GraphBuilder

Array = NDArray[np.float32]

_MERGES: Final[Mapping[str, str]] = {"sum": "Sum", "average": "Mean", "maximum": "Max", "minimum": "Min"}
OVER_FEATURES: Final[Mapping[str, str]] = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}
_PAIRWISE: Final[Mapping[str, str]] = {"multiply": "Mul", "subtract": "Sub"}


def obstacle(layer: Layer) -> str | None:
    """None, or why `add` cannot add it. Maskings and embeddings are added without their masks."""
    if type(layer) not in _NODES:
        return f"layer {layer.name!r} is a {layer.kind}"
    if isinstance(layer, DenseLayer | ActivationLayer) and (name := layer.activation.name) not in (
        *KNOWN - NO_OPERATOR,
        *OVER_FEATURES,
    ):
        return f"layer {layer.name!r} has the activation {name}"
    return None


def add(graph: GraphBuilder, layer: Layer, weights: Mapping[str, Array], inputs: Sequence[str], made: str) -> None:
    """weights: the layer's canonical arrays without its name. inputs, made: the tensors by name; helpers begin with `made::`.

    Raises ValueError for a layer with an obstacle.
    """
    if (what := obstacle(layer)) is not None:
        raise ValueError(what)
    _NODES[type(layer)](graph, layer, weights, inputs, made)


def _dense(graph: GraphBuilder, layer: DenseLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str) -> None:
    product = f"{made}::product"
    graph.add("MatMul", [inputs[0], graph.constant(f"{made}::kernel", weights["kernel"])], product)
    if layer.use_bias:
        graph.add("Add", [product, graph.constant(f"{made}::bias", weights["bias"])], f"{made}::sum")
        product = f"{made}::sum"
    _activated(graph, layer.activation, product, made)


def _activation(
    graph: GraphBuilder, layer: ActivationLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str
) -> None:
    _activated(graph, layer.activation, inputs[0], made)


def _dropout(graph: GraphBuilder, layer: DropoutLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str) -> None:
    if layer.scale == 1:
        graph.add("Identity", inputs, made)
    else:
        graph.add("Mul", [inputs[0], graph.constant(f"{made}::scale", np.float32(layer.scale))], made)


def _embedding(
    graph: GraphBuilder, layer: EmbeddingLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str
) -> None:
    graph.add("Gather", [graph.constant(f"{made}::table", weights["table"]), inputs[0]], made)


def _activated(graph: GraphBuilder, activation: Activation, inputs: str, made: str) -> None:
    if activation.name in OVER_FEATURES:
        graph.add(OVER_FEATURES[activation.name], [inputs], made, axis=-1)
    elif activation.name == "linear":
        graph.add("Identity", [inputs], made)
    else:
        name, alpha, beta = onnx_activation(activation)
        parameters = {"alpha": alpha, "beta": beta}
        graph.add(name, [inputs], made, **{key: value for key, value in parameters.items() if value is not None})


def _normalization(
    graph: GraphBuilder, layer: BatchNormalizationLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str
) -> None:
    scale = weights.get("gamma", np.float32(1)) / np.sqrt(weights["moving_variance"] + np.float32(layer.epsilon))
    centred, scaled = f"{made}::centred", f"{made}::scaled"
    graph.add("Sub", [inputs[0], graph.constant(f"{made}::mean", weights["moving_mean"])], centred)
    graph.add("Mul", [centred, graph.constant(f"{made}::scale", scale.astype(np.float32))], scaled)
    shift = weights.get("beta", np.zeros_like(weights["moving_mean"]))
    graph.add("Add", [scaled, graph.constant(f"{made}::shift", shift)], made)


def _merge(graph: GraphBuilder, layer: MergeLayer, weights: Mapping[str, Array], inputs: Sequence[str], made: str) -> None:
    if layer.mode == "concat":
        graph.add("Concat", inputs, made, axis=-1)
    elif layer.mode in _MERGES:
        graph.add(_MERGES[layer.mode], inputs, made)
    else:
        so_far = inputs[0]
        for place, other in enumerate(inputs[1:], start=2):
            name = made if place == len(inputs) else f"{made}::{place}"
            graph.add(_PAIRWISE[layer.mode], [so_far, other], name)
            so_far = name


_NODES: Final[Mapping[type[Layer], Callable[[GraphBuilder, Any, Mapping[str, Array], Sequence[str], str], None]]] = {
    DenseLayer: _dense,
    ActivationLayer: _activation,
    MaskingLayer: lambda graph, layer, weights, inputs, made: graph.add("Identity", inputs, made),
    DropoutLayer: _dropout,
    BatchNormalizationLayer: _normalization,
    EmbeddingLayer: _embedding,
    MergeLayer: _merge,
}
