"""The layers around the recurrence as nodes of ONNX, as far as ONNX has them. Knows no recurrence, no chunks and no session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cellserve.models.implementations.onnx_activations import KNOWN, onnx_activation
from cellserve.models.implementations.onnx_builder import GraphBuilder
from cellserve.models.spec import (
    Activation,
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerSpec,
    MaskingLayer,
    MergeLayer,
)

Array = NDArray[np.float32]

_MERGES: Final[Mapping[str, str]] = {"sum": "Sum", "average": "Mean", "maximum": "Max", "minimum": "Min"}
_PAIRWISE: Final[Mapping[str, str]] = {"multiply": "Mul", "subtract": "Sub"}


def obstacle(layer: LayerSpec) -> str | None:
    """None, or why `add` cannot add it. Maskings and embeddings are added without their masks."""
    match layer:
        case DenseLayer() | ActivationLayer():
            name = layer.activation.name
            known = name in KNOWN or name == "softmax"
            return None if known else f"layer {layer.name!r} has the activation {name}"
        case EmbeddingLayer() | MaskingLayer() | DropoutLayer() | BatchNormalizationLayer() | MergeLayer():
            return None
        case _:
            return f"layer {layer.name!r} is a {layer.kind}"


def add(graph: GraphBuilder, layer: LayerSpec, weights: Mapping[str, Array], inputs: Sequence[str], made: str) -> None:
    """weights: the layer's canonical arrays without its name. inputs, made: the tensors by name; helpers begin with `made::`.

    Raises ValueError for a layer with an obstacle.
    """
    match layer:
        case DenseLayer():
            _dense(graph, layer, weights, inputs[0], made)
        case ActivationLayer():
            _activation(graph, layer.activation, inputs[0], made)
        case MaskingLayer():
            graph.add("Identity", inputs, made)
        case DropoutLayer() if layer.scale == 1:
            graph.add("Identity", inputs, made)
        case DropoutLayer():
            graph.add("Mul", [inputs[0], graph.constant(f"{made}::scale", np.float32(layer.scale))], made)
        case BatchNormalizationLayer():
            _normalization(graph, layer, weights, inputs[0], made)
        case EmbeddingLayer():
            graph.add("Gather", [graph.constant(f"{made}::table", weights["table"]), inputs[0]], made)
        case MergeLayer():
            _merge(graph, layer, inputs, made)
        case _:
            raise ValueError(obstacle(layer))


def _dense(graph: GraphBuilder, layer: DenseLayer, weights: Mapping[str, Array], inputs: str, made: str) -> None:
    product = f"{made}::product"
    graph.add("MatMul", [inputs, graph.constant(f"{made}::kernel", weights["kernel"])], product)
    if layer.use_bias:
        graph.add("Add", [product, graph.constant(f"{made}::bias", weights["bias"])], f"{made}::sum")
        product = f"{made}::sum"
    _activation(graph, layer.activation, product, made)


def _activation(graph: GraphBuilder, activation: Activation, inputs: str, made: str) -> None:
    if activation.name == "softmax":
        graph.add("Softmax", [inputs], made, axis=-1)
    elif activation.name == "linear":
        graph.add("Identity", [inputs], made)
    else:
        name, alpha, beta = onnx_activation(activation)
        parameters = {"alpha": alpha, "beta": beta}
        graph.add(name, [inputs], made, **{key: value for key, value in parameters.items() if value is not None})


def _normalization(
    graph: GraphBuilder, layer: BatchNormalizationLayer, weights: Mapping[str, Array], inputs: str, made: str
) -> None:
    scale = weights.get("gamma", np.float32(1)) / np.sqrt(weights["moving_variance"] + np.float32(layer.epsilon))
    centred, scaled = f"{made}::centred", f"{made}::scaled"
    graph.add("Sub", [inputs, graph.constant(f"{made}::mean", weights["moving_mean"])], centred)
    graph.add("Mul", [centred, graph.constant(f"{made}::scale", scale.astype(np.float32))], scaled)
    shift = weights.get("beta", np.zeros_like(weights["moving_mean"]))
    graph.add("Add", [scaled, graph.constant(f"{made}::shift", shift)], made)


def _merge(graph: GraphBuilder, layer: MergeLayer, inputs: Sequence[str], made: str) -> None:
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
