"""Keras's layers that lay a row out in time anew: convolutions, pooling, zeros around, steps cut off its ends.

Sources: keras-team/keras 1.0 to 2.3.1, tf-keras, Keras 3; Theano's backend convolves (its kernels run backwards) and pads `same`
in ways of its own. Knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal

from cellserve.models.description.layers.rows import GlobalPooling1dLayer
from cellserve.models.description.layers.windowed import Conv1dLayer, Cropping1dLayer, Padding1dLayer, Pooling1dLayer
from cellserve.models.importers.keras.graph import Builder, Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers import legacy_layout
from cellserve.models.importers.keras.layers.activations import activation_of

POOLINGS: Final[dict[str, Literal["max", "average"]]] = {"MaxPooling1D": "max", "AveragePooling1D": "average"}
GLOBAL_POOLINGS: Final[dict[str, Literal["max", "average"]]] = {"GlobalMaxPooling1D": "max", "GlobalAveragePooling1D": "average"}


def _conv1d(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    used = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation", "use_bias")
    graph.check(keras, *used)
    config, source = keras.config, _steps(graph, keras, inputs)
    if config.get("groups", 1) != 1:
        graph.refuse(keras, "convolutions in groups are not supported", "groups")
    layer = Conv1dLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        units=config["filters"],
        kernel_size=_one(config["kernel_size"]),
        strides=_one(config.get("strides", 1)),
        dilation=_one(config.get("dilation_rate", 1)),
        padding=config.get("padding", "valid"),
        use_bias=config.get("use_bias", True),
        activation=activation_of(config.get("activation"), graph.era, graph.source, keras.name),
    )
    flipped = layer.kernel_size > 1 and _on_theano(graph, keras, "its kernels run backwards there")
    simple = layer.kernel_size % 2 == 1 and layer.strides == layer.dilation == 1
    if flipped and layer.padding == "same" and not simple:
        graph.refuse(keras, "Theano pads this convolution in a way of its own, which is not supported", "padding")
    graph.claim(layer, keras, 1 + layer.use_bias, part, convert=partial(legacy_layout.conv1d, layer, flipped=flipped))
    return graph.add(layer, sequence=True)


def _pooling(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "pool_size", "strides", "padding", "data_format")
    config, source = keras.config, _steps(graph, keras, inputs)
    size = _one(config.get("pool_size", 2))
    layer = Pooling1dLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        mode=POOLINGS[keras.class_name],
        pool_size=size,
        strides=size if config.get("strides") is None else _one(config["strides"]),
        padding=config.get("padding", "valid"),
    )
    if layer.padding == "same" and _on_theano(graph, keras, "its padding `same` is another there"):
        graph.refuse(keras, "Theano pads this pooling in a way of its own, which is not supported", "padding")
    if layer.padding == "same" and layer.mode == "average" and graph.era.is_keras_3:
        _require_known_padding(graph, keras)
    return graph.add(layer, sequence=True)


def _global_pooling(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "data_format", "keepdims")
    mode = GLOBAL_POOLINGS[keras.class_name]
    if keras.config.get("keepdims"):
        graph.refuse(keras, "keepdims leaves a time axis of one step, which is not supported; reshape it away", "keepdims")
    source = graph.only(keras, inputs) if mode == "average" else _steps(graph, keras, inputs)
    _require_last_channels(graph, keras)
    return graph.add(GlobalPooling1dLayer(name=keras.spec_name, inputs=(source.reference,), mode=mode), sequence=False)


def _zero_padding(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "padding", "data_format")
    source, (before, after) = _steps(graph, keras, inputs), _both_ends(keras.config.get("padding", 1))
    return graph.add(Padding1dLayer(name=keras.spec_name, inputs=(source.reference,), before=before, after=after), sequence=True)


def _cropping(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "cropping")
    source, (before, after) = _steps(graph, keras, inputs), _both_ends(keras.config.get("cropping", (1, 1)))
    return graph.add(Cropping1dLayer(name=keras.spec_name, inputs=(source.reference,), before=before, after=after), sequence=True)


def _steps(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor]) -> Tensor:
    """The one input of a layer that knows no masks."""
    source = graph.only(keras, inputs)
    _require_last_channels(graph, keras)
    graph.end_of_mask(keras, source)
    return source


def _require_last_channels(graph: Graph, keras: KerasLayer) -> None:
    if keras.config.get("data_format") == "channels_first":
        graph.refuse(keras, "channels_first is not supported; save the model with channels_last", "data_format")


def _on_theano(graph: Graph, keras: KerasLayer, why: str) -> bool:
    """Keras 1 files do not say which backend they are for."""
    if not graph.era.backend and graph.era.is_legacy:
        graph.refuse(
            keras,
            f"the file does not say whether the model ran on Theano or on TensorFlow, and {why}; say it with `keras_backend: "
            "theano` or `keras_backend: tensorflow` in a --description",
        )
    return graph.era.backend == "theano"


def _require_known_padding(graph: Graph, keras: KerasLayer) -> None:
    """Keras 3 on torch repeats the last steps where its other backends leave the padding out of the average."""
    if graph.era.backend == "torch":
        graph.refuse(keras, "torch averages over padding, which is not supported; use padding `valid`", "padding")
    if not graph.era.backend:
        graph.refuse(
            keras,
            "this average depends on the backend that the model ran on, which the file does not say; say it with `keras_backend: "
            "tensorflow` (or jax) in a --description",
            "padding",
        )


def _both_ends(value: Any) -> tuple[Any, Any]:
    """Of a number for both, or a list of it, or one number for each."""
    given = _one(value)
    before, after = given if isinstance(given, list | tuple) else (given, given)
    return before, after


def _one(value: Any) -> Any:
    """A number, or a list of it."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


WINDOWS: Final[dict[str, Builder]] = {
    "Conv1D": _conv1d,
    **dict.fromkeys(POOLINGS, _pooling),
    **dict.fromkeys(GLOBAL_POOLINGS, _global_pooling),
    "ZeroPadding1D": _zero_padding,
    "Cropping1D": _cropping,
}
