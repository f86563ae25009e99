"""Whether a graph without a recurrent node is a recurrence all the same, whose cells an exporter wrote out step after step."""

from __future__ import annotations

from typing import Final

from cellserve.models.importers.onnx.file import OnnxFile

PRODUCTS: Final = frozenset({"MatMul", "Gemm"})
NOTHING: Final = frozenset[str]()


def is_unrolled(file: OnnxFile) -> bool:
    """Whether some array is multiplied with twice on one way through the graph, as the weights of a cell are by its next step."""
    made_of = {name: frozenset([name]) for name in file.constants}  # of tensors that are known, by which arrays
    met: dict[str, frozenset[str]] = {}  # of the others, which arrays stand before them
    for node in file.graph.node:
        given = [name for name in node.input if name]
        known = NOTHING.union(*(made_of.get(name, NOTHING) for name in given))
        if all(name in made_of for name in given):
            made_of |= {name: known or frozenset([name]) for name in node.output}
            continue
        before = NOTHING.union(*(met.get(name, NOTHING) for name in given))
        own = known if node.op_type in PRODUCTS else NOTHING
        if own & before:
            return True
        met |= dict.fromkeys(node.output, before | own)
    return False
