"""Layers of Keras 3 whose weights are stored in few bits: what their arrays mean, as float32. Knows no files.

Sources, of Keras 3.15: keras/src/layers/core/dense.py and embedding.py (variable_serialization_spec), quantizers/quantizers.py;
until 3.13 a Dense layer's int4 numbers are packed along its inputs. What LoRA has learnt Keras adds when it saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.stepwise import DenseLayer, EmbeddingLayer
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Place, Tensor
from cellserve.models.importers.layout import LayoutError

Array = npt.NDArray[Any]
SCALE, GROUPS = 1, 3  # arrays more than plain ones: scales; scales, zeros, and which group a number is of
MORE: Final[Mapping[str, tuple[int, ...]]] = {"int8": (SCALE,), "int4": (SCALE, GROUPS)}
REFUSED: Final[Mapping[str, str]] = {
    "float8": "it computes in float8, with scales that were adapted in training",
    "gptq": "its weights were quantised by GPTQ",
    "awq": "its weights were quantised by AWQ",
}


def claim(graph: Graph, keras: KerasLayer, layer: DenseLayer | EmbeddingLayer, source: Tensor, part: tuple[str, ...]) -> None:
    """The layer's arrays, plain or of few bits. Raises ImportRefused: of few bits in a way that is not served."""
    mode, names = mode_of(keras.config), list(layer.arrays((1,)))
    if mode is None:
        graph.claim(layer, keras, len(names), part)
        return
    if mode not in MORE:
        what = REFUSED.get(mode, f"it is quantised as {mode}")
        graph.refuse(keras, f"{what}, which is not supported; save the model as it was before model.quantize", "dtype")
    stored = len(graph.store.shapes(Place(keras.name, part))) - len(names)
    count = len(names) + (stored if stored in MORE[mode] else SCALE)
    along = 0 if isinstance(layer, DenseLayer) else 1
    width = graph.shape(source).features[-1] if isinstance(layer, DenseLayer) else layer.vocabulary
    graph.claim(layer, keras, count, part, convert=partial(_plain, mode, names, (width, layer.units), along))
    if isinstance(layer, DenseLayer) and _rounds_inputs(keras.config):
        graph.notes.say(
            f"{keras.name}: its weights are stored in {mode} and served as the numbers that they mean. Keras also rounds what it "
            "multiplies them with to 8 bits, row by row, which is not done here: its own answers lie near these."
        )
    else:
        graph.notes.say(f"{keras.name}: its weights are stored in {mode} and served as the numbers that they mean.")


def mode_of(config: Mapping[str, Any]) -> str | None:
    """Of a layer: "int8", "int4", "float8" … as its policy has it; None: plain numbers."""
    policy = config.get("dtype")
    inner = policy.get("config") if isinstance(policy, Mapping) else None
    mode = inner.get("mode") if isinstance(inner, Mapping) else None
    if isinstance(policy, str) and "_from_" in policy:
        mode = policy.partition("_from_")[0]
    return None if mode is None else str(mode).partition("/")[0]


def _rounds_inputs(config: Mapping[str, Any]) -> bool:
    """As int8 does, unless the layer's settings say otherwise, and int4 only if they do."""
    said = config.get("quantization_config")
    inner = said.get("config") if isinstance(said, Mapping) else None
    if isinstance(inner, Mapping):
        return inner.get("activation_quantizer") is not None
    return mode_of(config) == "int8"


def _plain(mode: str, names: Sequence[str], shape: tuple[int, int], along: int, stored: Sequence[Array]) -> dict[str, Array]:
    """Arrays by name, the first of few bits, then its scales, zeros and groups. along: which axis is cut into groups.

    Raises LayoutError: they do not fit together.
    """
    if len(names) > 1 and stored[0].dtype.kind == "f":
        stored = [stored[1], stored[0], *stored[2:]]  # .h5 files list first what is trained: the bias
    first, rest = stored[0], stored[len(names) :]
    if first.dtype != np.int8 or any(one.dtype.kind != "f" for one in (rest[0], *rest[2:])):
        raise LayoutError(f"it is quantised ({mode}), and its arrays are {', '.join(one.dtype.name for one in stored)}")
    numbers = first if mode == "int8" else _unpacked(first, shape)
    if numbers.shape != shape:
        raise LayoutError(f"its array of {mode} is {list(first.shape)}, which is not {list(shape)} of them")
    scale = rest[0].astype(np.float64)
    if len(rest) == SCALE:
        return dict(zip(names, (_divided(numbers, scale, shape[1 - along], along), *stored[1 : len(names)]), strict=True))
    kernel = _of_groups(numbers, scale, rest[1], rest[2], along)
    return dict(zip(names, (kernel, *stored[1 : len(names)]), strict=True))


def _divided(numbers: Array, scale: Array, places: int, along: int) -> Array:
    """One scale for each place of the other axis."""
    if scale.size != places or not scale.all():
        raise LayoutError(f"it has {scale.size} scales where {places} other than zero are expected")
    return np.asarray(numbers / np.expand_dims(scale.reshape(-1), along), np.float32)


def _of_groups(numbers: Array, scale: Array, zero: Array, group: Array, along: int) -> Array:
    """scale, zero: for each group and place of the other axis. group: of each place of `along`."""
    fits = scale.ndim == 2 and scale.shape == zero.shape and scale.shape[1 - along] == numbers.shape[1 - along]
    if not fits or group.shape != (numbers.shape[along],) or not np.isfinite(group).all():
        raise LayoutError("its scales, zeros and groups do not fit together")
    places = group.astype(np.int64)
    if places.min(initial=0) < 0 or places.max(initial=0) >= scale.shape[along]:
        raise LayoutError(f"it names groups beyond its {scale.shape[along]}")
    centred = numbers - np.take(zero.astype(np.float64), places, axis=along)
    return np.asarray(centred * np.take(scale, places, axis=along), np.float32)


def _unpacked(packed: Array, shape: tuple[int, int]) -> Array:
    """Two numbers to a byte along one axis, the low one first, each -8 to 7."""
    halves = [(size + 1) // 2 for size in shape]
    for axis, wanted in ((1, (shape[0], halves[1])), (0, (halves[0], shape[1]))):
        if packed.shape == wanted:
            both = np.stack([packed << 4 >> 4, packed >> 4], axis=axis + 1)
            whole = both.reshape([2 * size if place == axis else size for place, size in enumerate(packed.shape)])
            return np.take(whole, range(shape[axis]), axis=axis)
    raise LayoutError(f"its array of int4 is {list(packed.shape)}, which is not {list(shape)} of them, two to a byte")
