"""How masks come about in functional models of Keras 3, which writes the operations that make them among the layers.

NotEqual and Any are what Masking and Embedding do; the others are what merges make of the masks of their inputs: each is widened
to the features of its input (ExpandDims, LogicalOr with ZerosLike; OnesLike for an input without one), then all are joined and
reduced. Only masks that arise so are known. Knows no layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.mask_logic import EVERYTHING, NOTHING, MaskLogic, any_of, where

NAMES: Final = frozenset(
    {"Any", "ExpandDims", "LogicalOr", "NotEqual", "OnesLike", "ZerosLike"}
)  # in .h5 files, which do not say that these are no layers


@dataclass(frozen=True, slots=True)
class Mask:
    """`parts`: masks side by side, one after the other along `axis`; None: one [batch, time] mask, or not widened yet."""

    parts: tuple[MaskLogic, ...]
    axis: int | None = None

    @property
    def whole(self) -> MaskLogic | None:
        return self.parts[0] if len(self.parts) == 1 and self.axis is None else None


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
            return Mask((where("not_equal", first.reference, float(constants[0])),))
        case "ZerosLike" if isinstance(first, Tensor):
            return Mask((NOTHING,), 2)
        case "OnesLike" if isinstance(first, Tensor):
            return Mask((EVERYTHING,), 2)
        case _ if len(masks) != len(inputs) or not masks:
            return None
        case "ExpandDims" if len(masks) == 1 and masks[0].axis is None:
            return Mask(masks[0].parts, _axis(keras))
        case "Concatenate" if {mask.axis for mask in masks} == {_axis(keras)}:
            return Mask(tuple(chain.from_iterable(mask.parts for mask in masks)), _axis(keras))
        case "Any" if len(masks) == 1 and not keras.config.get("keepdims"):
            return _reduced(masks[0], keras)
        case "LogicalOr" if all(len(mask.parts) == 1 for mask in masks) and len({mask.axis for mask in masks}) == 1:
            return Mask((any_of(mask.parts[0] for mask in masks),), masks[0].axis)
        case _:
            return None


def _reduced(mask: Mask, keras: KerasLayer) -> Mask | None:
    if mask.axis is not None:
        return Mask((any_of(mask.parts),)) if mask.axis == _axis(keras) else None
    comparisons = [comparison for clause in mask.parts[0] for comparison in clause]
    if _axis(keras) != 2 or [kind for kind, _, _ in comparisons] != ["not_equal"]:
        return None
    ((_, tensor, value),) = comparisons
    return Mask((where("any_not_equal", tensor, value),))


def _axis(keras: KerasLayer) -> int:
    """Of sequences [batch, time, features]; the last one is 2."""
    axis = keras.config.get("axis", -1)
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    return 2 if axis in (-1, None) else int(axis)


def require_own_mask(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], given: Any, made: Mapping[Any, object]) -> None:
    """A mask handed to a layer by name must be the one that travels with its input anyway: no other can be served.

    `given`: a key of `made`, or several, or None.
    """
    if given is None:
        return
    origins = [made.get(key) for key in (given if isinstance(given, list) else [given]) if key is not None]
    named = {one.whole if isinstance(one, Mask) else EVERYTHING for one in origins}
    if named - {one.masks for one in inputs}:
        graph.refuse(
            keras,
            "it is called with a mask of its own making; masks from Masking and Embedding(mask_zero=True) are supported, and "
            "what merges make of them",
            "mask",
        )
