"""Keras's layers over two axes, time and the bands of a spectrum: Conv2D and the poolings that follow it. Knows no files.

Of [batch, time, bands, channels], as channels_last has it; where a model has its time elsewhere, it is refused by its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from cellserve.models.description.layers.planes import Conv2dLayer, Pooling2dLayer
from cellserve.models.importers import layout
from cellserve.models.importers.keras.graph import Array, Builder, Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers.activations import activation_of

POOLINGS: Final[dict[str, Literal["max", "average"]]] = {"MaxPooling2D": "max", "AveragePooling2D": "average"}


def _conv2d(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    used = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation", "use_bias")
    graph.check(keras, *used)
    config, source = keras.config, _plane(graph, keras, inputs)
    size, strides, dilation = (_pair(config.get(name, 1)) for name in ("kernel_size", "strides", "dilation_rate"))
    padding, groups = str(config.get("padding", "valid")), int(config.get("groups", 1) or 1)
    layer = Conv2dLayer.model_validate(
        {
            "name": keras.spec_name,
            "inputs": (source.reference,),
            "units": config["filters"],
            "kernel_size": size,
            "strides": strides,
            "dilation": dilation,
            "padding": padding,
            "band_margin": _margin(graph, source, padding, (size[1] - 1) * dilation[1] + 1, strides[1]),
            "use_bias": config.get("use_bias", True),
            "activation": activation_of(config.get("activation"), graph.era, graph.source, keras.name),
        }
    )

    def whole(stored: Sequence[Array]) -> dict[str, Array]:
        return {"kernel": layout.ungrouped(stored[0], groups)} | ({"bias": stored[1]} if layer.use_bias else {})

    graph.claim(layer, keras, 1 + layer.use_bias, part, convert=whole)
    return graph.add(layer, sequence=True)


def _pooling(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "pool_size", "strides", "padding", "data_format")
    config, source = keras.config, _plane(graph, keras, inputs)
    size, padding, mode = _pair(config.get("pool_size", 2)), str(config.get("padding", "valid")), POOLINGS[keras.class_name]
    strides = size if config.get("strides") is None else _pair(config["strides"])
    if padding == "same" and mode == "average" and graph.era.is_keras_3:
        graph.refuse(keras, "what this average makes of its padding depends on the backend; use padding `valid`", "padding")
    layer = Pooling2dLayer.model_validate(
        {
            "name": keras.spec_name,
            "inputs": (source.reference,),
            "mode": mode,
            "pool_size": size,
            "strides": strides,
            "padding": padding,
            "band_margin": _margin(graph, source, padding, size[1], strides[1]),
        }
    )
    return graph.add(layer, sequence=True)


def _plane(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor]) -> Tensor:
    source = graph.only(keras, inputs)
    if keras.config.get("data_format") == "channels_first":
        graph.refuse(keras, "channels_first is not supported; save the model with channels_last", "data_format")
    if graph.era.is_legacy:
        graph.refuse(keras, f"{keras.class_name} of Keras 1 is not supported; save the model with Keras 2 or newer")
    shape = graph.shape(source)
    if not source.sequence or len(shape.features) != 2:
        graph.refuse(keras, f"it reads {shape}; [batch, time, bands, channels] are supported")
    graph.end_of_mask(keras, source)
    return source


def _margin(graph: Graph, source: Tensor, padding: str, reach: int, stride: int) -> tuple[int, int]:
    """The zeros around the bands that `same` adds, the odd one behind."""
    if padding != "same":
        return 0, 0
    bands = graph.shape(source).features[0]
    missing = max((-(-bands // stride) - 1) * stride + reach - bands, 0)
    return missing // 2, missing - missing // 2


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, list | tuple) else (value, value)
    return int(first), int(second)


PLANES: Final[dict[str, Builder]] = {"Conv2D": _conv2d, **dict.fromkeys(POOLINGS, _pooling)}
