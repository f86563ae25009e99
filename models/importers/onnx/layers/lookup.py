"""ONNX's ways to make vectors of ids: a table whose rows are taken, ones at places, and arithmetic before either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from cellserve.models.description.layers.stepwise import EmbeddingLayer
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Axis, Flow, Known, NotTranslated, Part, Value, feature

Array = npt.NDArray[Any]
Fold = Callable[[NodeProto, Sequence[Array | None]], list[Array]]
LARGEST_ONES: Final = 1 << 13


def embedded(node: Node) -> Flow:
    """Of Gather."""
    ids, table = node.flow(1), node.constant(0, "table")
    if not ids.ids or int(node.attributes.get("axis", 0)) % table.ndim or table.ndim != 2 or not ids.sequence:
        raise NotTranslated("it looks up something else than the ids of a sequence in a table [vocabulary, width]")
    return _of_table(node, ids, table)


def one_hot(node: Node) -> list[Value]:
    """`depth` numbers for each id: the second of two values at its place, elsewhere the first."""
    ids, depth, values = node.flow(0), np.ravel(node.constant(1, "depth")), np.ravel(node.constant(2, "values"))
    axis = int(node.attributes.get("axis", -1))
    if not ids.ids or not ids.sequence or axis not in (-1, len(ids.axes)) or len(depth) != 1 or len(values) != 2:
        raise NotTranslated("it makes something else of ids than one vector for each")
    if not 0 < depth[0] <= LARGEST_ONES:
        raise NotTranslated(f"it makes vectors of {depth[0]} numbers")
    off, on = (np.float32(value) for value in values)
    return [_of_table(node, ids, off + (on - off) * np.eye(int(depth[0]), dtype=np.float32))]


def _of_table(node: Node, ids: Flow, table: Array) -> Flow:  # [vocabulary, width]
    if ids.of is not None:
        places, count = ids.of(np.arange(len(table))), len(table)
        inside = places.shape == (count,) and places.dtype.kind in "iu" and -count <= places.min() and places.max() < count
        if not inside:
            raise NotTranslated("what it looks up for some ids lies beyond its table")
        table = table[places]
    width = int(table.shape[1])
    options = {"vocabulary": len(table), "units": width}
    made = node.draft.add(EmbeddingLayer, node.name, [node.draft.reference(ids)], {"table": table}, **options)
    own: Axis = (feature(width, node.trials),) if width > 1 else ()
    return Flow((Part(made, width),), (*ids.axes, own), own)


def of_ids(node: NodeProto, given: Sequence[Value | None], fold: Fold) -> Flow:
    """Arithmetic with ids: a function of them, for whoever looks them up. Raises NotTranslated: with other things."""
    flows = [one for one in given if isinstance(one, Flow)]
    constants = [one.constant if isinstance(one, Known) else None for one in given]
    if any(flow.parts != flows[0].parts or flow.axes != flows[0].axes for flow in flows):
        raise NotTranslated("it computes with the ids of several inputs")
    if any(constant is None and not is_ids(one) for constant, one in zip(constants, given)):
        raise NotTranslated("it computes with ids and with shapes")

    done: dict[int, tuple[Array, Array]] = {}

    def function(ids: Array) -> Array:
        if id(ids) not in done:  # others may be made of it, several times over
            row = [one.of(ids) if isinstance(one, Flow) and one.of else constant for one, constant in zip(given, constants)]
            done[id(ids)] = ids, fold(node, row)[0]
        return done[id(ids)][1]

    return replace(flows[0], of=function)


def is_ids(value: Value | None) -> bool:
    return isinstance(value, Flow) and value.ids and value.of is not None
