"""A gelu as exporters wrote it before there was an operator for it: x times 0.5 times (1 + erf(x / sqrt 2)), in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, sqrt

from onnx import NodeProto

from cellserve.models.description.layers.activation import Activation
from cellserve.models.importers.onnx.node import Node
from cellserve.models.importers.onnx.values import Flow, Known, NotTranslated, Value


@dataclass(frozen=True, slots=True)
class Gelu:
    """`read`: the tensor x; `half`, `one`, `root`: the constants; `divides`: x by the root; `inner`: what all nodes make."""

    read: str
    half: str
    one: str
    root: str
    divides: bool
    inner: frozenset[str]

    def layer(self, node: Node, flow: Value | None, scope: Mapping[str, Value]) -> Flow:
        """Raises NotTranslated: with other constants, which make another function."""
        expected = {self.half: 0.5, self.one: 1.0, self.root: sqrt(2) if self.divides else sqrt(0.5)}
        for name, wanted in expected.items():
            constant = scope.get(name)
            found = constant.fill if isinstance(constant, Known) else None
            if found is None or not isclose(found, wanted, rel_tol=1e-4):
                raise NotTranslated("a function of erf other than gelu is no layer")
        if not isinstance(flow, Flow) or flow.ids:
            raise NotTranslated("it is a gelu of something that the network does not compute")
        return node.draft.activated(flow, Activation(name="gelu"), node.name)


def gelus(nodes: Sequence[NodeProto], uses: Counter[str]) -> dict[str, Gelu]:
    """By what their last products make; only those of which nothing in between is read elsewhere."""
    makers = {name: node for node in nodes for name in node.output}
    found = {}
    for node in nodes:
        if node.op_type != "Mul" or len(node.input) != 2:
            continue
        for one in _matched(node, makers):
            ours = Counter(name for made in one.inner for name in makers[made].input) + Counter(node.input)
            if all(ours[name] == uses[name] for name in one.inner):
                found[node.output[0]] = one
    return found


def _matched(last: NodeProto, makers: Mapping[str, NodeProto]) -> Iterator[Gelu]:
    """The ways in which it is one: a product of a product with a third factor."""
    for inner_name, third in (last.input, reversed(last.input)):
        inner = makers.get(inner_name)
        if inner is None or inner.op_type != "Mul":
            continue
        factors = [*inner.input, third]
        for place, name in enumerate(factors):
            others = factors[:place] + factors[place + 1 :]
            for read, half in (others, reversed(others)):
                yield from _of(name, read, half, inner, makers)


def _of(name: str, read: str, half: str, product: NodeProto, makers: Mapping[str, NodeProto]) -> Iterator[Gelu]:
    """`name`: what could be 1 + erf of x, which is `read`."""
    added = makers.get(name)
    if added is None or added.op_type != "Add":
        return
    for erf_name, one in (added.input, reversed(added.input)):
        erf = makers.get(erf_name)
        scaled = makers.get(erf.input[0]) if erf is not None and erf.op_type == "Erf" else None
        if erf is None or scaled is None or scaled.op_type not in ("Div", "Mul") or len(scaled.input) != 2:
            continue
        for x, root in (scaled.input, reversed(scaled.input)):
            if x == read and (scaled.op_type == "Mul" or x == scaled.input[0]):
                made = frozenset(output for node in (product, added, erf, scaled) for output in node.output)
                yield Gelu(read, half, one, root, scaled.op_type == "Div", made)
