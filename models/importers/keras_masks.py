"""How masks come about in functional models of Keras 3, which writes the operations that make them among the layers.

NotEqual and Any are what Masking and Embedding do; ExpandDims, ZerosLike, LogicalOr and Concatenate are what merges make of the
masks of their inputs. Only masks that arise so are known, and only merges of one and the same mask. Knows no layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras_graph import Graph, KerasLayer, MaskSource, Tensor

NAMES: Final = frozenset(
    {"Any", "ExpandDims", "LogicalOr", "NotEqual", "ZerosLike"}
)  # in .h5 files, which do not say that these are no layers


@dataclass(frozen=True, slots=True)
class Mask:
    """`source`: where it comes from, None for one that masks everything (ZerosLike). `wide`: with an axis for the features."""

    source: MaskSource | None
    wide: bool = False


def is_operation(raw: Mapping[str, Any]) -> bool:
    """Whether an entry among a model's layers is a bare operation."""
    module = raw.get("module")
    return str(module).startswith("keras.src.ops") if module is not None else raw.get("class_name") in NAMES


def operation(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor | Mask], constants: Sequence[Any]) -> Mask:
    """What the operation makes of its inputs. Raises ImportRefused: one that is no part of making a mask."""
    made = _made(keras, inputs, constants)
    if made is None:
        what = f"the operation {keras.class_name} of the model's own code is not supported; write it as a standard layer"
        raise ImportRefused(graph.source, what, layer=keras.name)
    return made


def _made(keras: KerasLayer, inputs: Sequence[Tensor | Mask], constants: Sequence[Any]) -> Mask | None:
    masks = [one for one in inputs if isinstance(one, Mask)]
    first = inputs[0] if inputs else None
    match keras.class_name:
        case "NotEqual" if isinstance(first, Tensor) and len(inputs) == len(constants) == 1:
            return Mask(("not_equal", first.reference, float(constants[0])))
        case "ZerosLike" if isinstance(first, Tensor):
            return Mask(None, wide=True)
        case _ if len(masks) != len(inputs) or not masks:
            return None
        case "Any" if len(masks) == 1 and keras.config.get("axis") == -1 and not keras.config.get("keepdims"):
            return _over_features(masks[0])
        case "ExpandDims" if len(masks) == 1 and keras.config.get("axis", -1) == -1:
            return replace(masks[0], wide=True)
        case "LogicalOr" | "Concatenate" if keras.config.get("axis", -1) in (-1, 2):
            sources = {mask.source for mask in masks} - {None}
            return Mask(next(iter(sources)), wide=any(mask.wide for mask in masks)) if len(sources) == 1 else None
        case _:
            return None


def _over_features(mask: Mask) -> Mask | None:
    if mask.wide:
        return replace(mask, wide=False)
    if mask.source is None or mask.source[0] != "not_equal":
        return None
    return Mask(("any_not_equal", mask.source[1], mask.source[2]))


def require_own_mask(
    graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], given: Any, made: Mapping[Any, Tensor | Mask]
) -> None:
    """A mask handed to a layer by name must be the one that travels with its input anyway: no other can be served.

    `given`: a key of `made`, or several, or None.
    """
    if given is None:
        return
    origins = [made.get(key) for key in (given if isinstance(given, list) else [given]) if key is not None]
    named = {frozenset([one.source]) if isinstance(one, Mask) and one.source is not None else frozenset() for one in origins}
    if named - {one.masks for one in inputs}:
        graph.refuse(
            keras,
            "it is called with a mask of its own making; masks from Masking and Embedding(mask_zero=True) are supported",
            "mask",
        )
