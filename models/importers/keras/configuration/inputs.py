"""What a Keras model's inputs are: sequences of features, of ids, or plain vectors. Knows no graph."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.configuration.options import Config
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Place
from cellserve.models.importers.keras.layers.recurrent import CLASSES, first_place
from cellserve.models.spec import InputSpec

Shape = tuple[int | None, ...]
PART_OF_FIRST_KERNEL: Final[dict[str, tuple[str, ...]]] = {"TimeDistributed": ("layer",), "Dense": ()}


def declared_shape(config: Config) -> Shape | None:
    """Without the batch axis; None where the file does not say."""
    for option in ("batch_shape", "batch_input_shape"):
        value = config.get(option)
        if value is not None:
            return tuple(value[1:])
    build = config.get("build_config")
    if isinstance(build, dict) and isinstance(build.get("input_shape"), list):
        return tuple(build["input_shape"][1:])
    return None


def input_spec(graph: Graph, name: str, shape: Shape | None, readers: Sequence[KerasLayer]) -> tuple[InputSpec, tuple[int, ...]]:
    """The input, and the axes of its features where there are several. `readers`: the layers that take it.

    Raises ImportRefused where its kind or width cannot be known.
    """
    kinds = {reader.class_name == "Embedding" for reader in readers}
    if kinds == {True, False}:
        raise ImportRefused(
            graph.source, "both an Embedding and another layer read this input, which is not supported", layer=name
        )
    if kinds == {True}:
        several = shape[1] if shape is not None and len(shape) == 2 else None
        return InputSpec(name=name, kind="ids", width=several, time_steps=shape[0] if shape else None), ()
    if shape is None:
        shape = (None, _width_from_weights(graph, name, readers))
    features = tuple(axis for axis in shape[min(1, len(shape) - 1) :] if axis is not None)
    if not features or len(features) < len(shape) - 1:
        raise ImportRefused(
            graph.source,
            f"this input has the shape {_written(shape)}; sequences [time, features] of a fixed width are supported, and vectors",
            layer=name,
        )
    if len(shape) == 1:
        return InputSpec(name=name, kind="vector", width=features[0]), ()
    return InputSpec(name=name, kind="features", width=prod(features), time_steps=shape[0]), features


def _width_from_weights(graph: Graph, name: str, readers: Sequence[KerasLayer]) -> int:
    """A Sequential model built on its first data does not record their width; the first layer's kernel does."""
    for reader in readers:
        if reader.class_name in (*CLASSES, "Bidirectional"):
            place = first_place(graph, reader)
        elif reader.class_name in PART_OF_FIRST_KERNEL:
            place = Place(reader.name, PART_OF_FIRST_KERNEL[reader.class_name])
        else:
            continue
        shapes = graph.store.shapes(place)
        if shapes and len(shapes[0]) == 2:
            return shapes[0][0]
    raise ImportRefused(
        graph.source, "the file does not say how many features this input has; save the model with an input shape", layer=name
    )


def _written(shape: Shape) -> str:
    unknown = ("time", *["any"] * len(shape))
    return "[" + ", ".join(("batch", *(name if axis is None else str(axis) for name, axis in zip(unknown, shape)))) + "]"
