"""A layer normalization as tf2onnx writes Keras's: a batch normalization whose channels are the steps of the rows.

All features of a step are normalized together, with a mean and a variance that other nodes compute beside it of the same tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from onnx import NodeProto

from cellserve.models.description.layers.stepwise import LayerNormalizationLayer
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value

CHANNELS: Final = 1  # the axis of which each number has a mean and a variance of its own


@dataclass(frozen=True, slots=True)
class Standardization:
    """`read`: the tensor that is normalized; `scale`, `shift`: tensors of ones and of zeros; `inner`: what its nodes make."""

    read: str
    scale: str
    shift: str
    inner: frozenset[str]

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: over something else than the features of each step."""
        fills = [one.fill if isinstance(one := scope.get(name), Known) else None for name in (self.scale, self.shift)]
        if not isinstance(flow, Flow) or flow.ids or fills != [1, 0]:
            raise NotTranslated("it normalizes with numbers that the network computes")
        apart = [one.role for one in flow.axes[CHANNELS]]
        together = [one for place, axis in enumerate(flow.axes) if place != CHANNELS for one in axis]
        if "feature" in apart or set(together) != set(flow.features):
            raise NotTranslated("it normalizes other numbers together than the features of a step")
        flow = replace(node.draft.lined_up(flow, f"{node.name}_in"), shared=True)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        return node.draft.then(flow, LayerNormalizationLayer, node.name, epsilon=epsilon, scale=False, center=False)


def standardizations(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, Standardization]:
    """By what the batch normalizations make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type == "BatchNormalization" and len(node.input) == 5 and (inner := _inner(node, makers)) is not None:
            made = {name for one in inner for name in one.output}
            reads = Counter(name for one in (*inner, node) for name in one.input)
            if all(reads[name] == uses[name] for name in made):
                found[node.output[0]] = Standardization(node.input[0], node.input[1], node.input[2], frozenset(made))
    return found


def _inner(node: NodeProto, makers: Mapping[str, NodeProto]) -> list[NodeProto] | None:
    """The nodes of the mean and the variance; None: these are others."""
    x = node.input[0]
    squeezed = makers.get(node.input[3])
    mean = makers.get(squeezed.input[0]) if squeezed is not None and squeezed.op_type in ("Squeeze", "Reshape") else squeezed
    divided = makers.get(node.input[4])
    squares = makers.get(divided.input[0]) if divided is not None and divided.op_type == "Div" else None
    centred = makers.get(squares.input[0]) if squares is not None and squares.op_type == "ReduceSumSquare" else None
    nodes = [one for one in (squeezed, mean, divided, squares, centred) if one is not None]
    if mean is None or mean.op_type != "ReduceMean" or mean.input[0] != x or centred is None or centred.op_type != "Sub":
        return None
    if list(centred.input) != [x, mean.output[0]]:
        return None
    return list({one.output[0]: one for one in nodes}.values())
