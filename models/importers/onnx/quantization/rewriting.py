"""A quantised ONNX graph as the same one in float32: node by node, its branches too. Knows no operators; runs nothing."""

from __future__ import annotations

from dataclasses import replace

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from cellserve.models.importers.onnx.file import OnnxFile, all_nodes, refuse_foreign
from cellserve.models.importers.onnx.quantization.meaning import Meaning
from cellserve.models.importers.onnx.quantization.operators import REWRITES


def dequantized(file: OnnxFile) -> OnnxFile:
    """Raises ImportRefused: weights that are computed, or numbers that are quantised in a way that is not known here."""
    model = ModelProto()
    model.CopyFrom(file.model)
    meaning = Meaning(file, dict(file.constants))
    _rewrite(model.graph, meaning)
    refuse_foreign(list(all_nodes(model.graph, str(file.path))), str(file.path))
    return replace(file, model=model, constants=meaning.constants)


def _rewrite(graph: GraphProto, meaning: Meaning) -> None:
    meaning.read(graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _rewrite(attribute.g, meaning)
        try:
            nodes += REWRITES[node.op_type](meaning, node) if node.op_type in REWRITES else [node]
        except (LookupError, ValueError, TypeError) as error:
            raise meaning.refused(node, f"it is of a form not known here ({type(error).__name__}: {error})") from error
    copies = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _copy(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made
