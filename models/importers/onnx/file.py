"""An ONNX file as one flat graph with its constants as arrays: functions inlined, versions and domains checked.

Nothing of it is run, and no library of custom operators is ever loaded. Knows no networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, inliner

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.tensors import NARROW, TensorReader

Array = npt.NDArray[Any]
OLDEST_OPSET: Final = 7
LARGEST_FILE_BYTES: Final = 2 << 30  # protobuf's own limit
MOST_NODES: Final = 50_000
DEEPEST: Final = 8  # graphs within graphs
OWN_DOMAINS: Final = ("", "ai.onnx")
QUANTIZED: Final = frozenset(
    {"DynamicQuantizeLSTM", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv"}
    | {"QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearConcat", "QLinearGlobalAveragePool"}
    | {"QuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QAttention", "QGemm"}
)
QUANTIZED_HELP: Final = (
    "it is quantised, and the numbers of one row then depend on its batch mates, since one range is taken for all; import it "
    "with --dequantize, which takes its weights in float32, or the model as it was before it was quantised"
)


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """`model`: without the data of its constants; `constants`: of its main graph, by name; `precisions`: other than float32."""

    path: Path
    model: ModelProto
    constants: dict[str, Array]
    precisions: frozenset[str]
    reader: TensorReader

    @property
    def graph(self) -> GraphProto:
        return self.model.graph

    @property
    def opset(self) -> int:
        return opset_of(self.model)


def opset_of(model: ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in OWN_DOMAINS), 0)


def read_onnx(path: Path, *, quantized: bool = False) -> OnnxFile:
    """`quantized`: also with nodes that compute in few bits, and of other domains.

    Raises ImportRefused: damaged, of an unknown version, with operators of other domains, or far too large.
    """
    source = str(path)
    model = parsed(path, source)
    if not model.graph.node or not model.graph.output:
        raise ImportRefused(source, "this ONNX file holds no graph: it is cut short, damaged, or of another kind")
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:  # the library behind it raises its own kinds
            raise ImportRefused(source, f"the functions of this ONNX file cannot be put into its graph: {error}") from error
    opset = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ImportRefused(
            source,
            f"it is of operator set {opset}; cellserve reads {OLDEST_OPSET} to {newest}. Export the model for one of those",
        )
    nodes = list(all_nodes(model.graph, source))
    if len(nodes) > MOST_NODES:
        raise ImportRefused(source, f"its graph has {len(nodes):,} nodes; the limit is {MOST_NODES:,}")
    refuse_broken_names(model.graph, nodes, source)
    if not quantized:
        refuse_foreign(nodes, source)
    tensors = TensorReader(source, path.parent)
    constants = {tensor.name: tensors.read(tensor) for tensor in model.graph.initializer}
    if model.graph.sparse_initializer:
        raise ImportRefused(source, "it holds sparse constants; store them dense and export the model again")
    return OnnxFile(path, model, constants, frozenset(_precisions(model, nodes)), tensors)


def data_bytes(path: Path) -> int:
    """Of the files beside it that its constants are said to be in, as far as that can be told; each counted once."""
    try:
        if b"location" not in path.read_bytes():
            return 0
        model = parsed(path, str(path))
    except (OSError, ImportRefused):
        return 0
    said = {entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"}
    found = {beside for name in said if name and (beside := (path.parent / name).resolve()).is_relative_to(path.parent.resolve())}
    return sum(beside.stat().st_size for beside in found if beside.is_file())


def all_nodes(graph: GraphProto, source: str, depth: int = 0) -> Iterator[NodeProto]:
    """Those within branches included."""
    if depth > DEEPEST:
        raise ImportRefused(source, f"its graph has branches within branches, more than {DEEPEST} deep")
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from all_nodes(attribute.g, source, depth + 1)


def needed(graph: GraphProto, outputs: Sequence[str]) -> list[NodeProto]:
    """The nodes on the way to these tensors, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(read_by(node))
    return kept[::-1]


def read_by(node: NodeProto) -> list[str]:
    """The tensors that it reads, those that its branches read of the graph around included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            names += [name for inner in attribute.g.node for name in read_by(inner)]
            names += [one.name for one in attribute.g.output]
    return names


def parsed(path: Path, source: str) -> ModelProto:
    """Raises ImportRefused: damaged, too large, or of onnxruntime's own format."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise ImportRefused(source, f"it is {size:,} bytes large; an ONNX file has at most {LARGEST_FILE_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ImportRefused(source, f"the file cannot be read: {error.strerror or error}") from error
    if content[4:8] == b"ORTM":
        raise ImportRefused(
            source, "this is a model in ONNX Runtime's own format (.ort); import the .onnx file that it was made from"
        )
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError, ValueError) as error:
        raise ImportRefused(source, "the ONNX file is damaged or cut short; copy it again, or export the model again") from error
    return model


def refuse_broken_names(graph: GraphProto, nodes: list[NodeProto], source: str) -> None:
    """Text that is no text, which the library hands over as bytes, and nodes that make nothing."""
    names = [entry.name for entry in (*graph.input, *graph.output)] + [tensor.name for tensor in graph.initializer]
    names += [one.name for node in nodes for one in node.attribute]
    names += [name for node in nodes for name in (node.name, node.op_type, node.domain, *node.input, *node.output)]
    if not all(isinstance(name, str) for name in names) or not all(node.output for node in nodes):
        raise ImportRefused(source, "names in this ONNX file are no text, or nodes make nothing; it is damaged, copy it again")


def is_quantized(file: OnnxFile) -> bool:
    return any(node.op_type in QUANTIZED for node in all_nodes(file.graph, str(file.path)))


def refuse_foreign(nodes: list[NodeProto], source: str) -> None:
    """Raises ImportRefused: nodes that compute in few bits, or of other domains than ONNX's own."""
    for node in nodes:
        name = node.name or (node.output[0] if node.output else "")
        if node.op_type in QUANTIZED:
            raise ImportRefused(source, f"{node.op_type}: {QUANTIZED_HELP}", layer=name)
        if node.domain not in OWN_DOMAINS:
            raise ImportRefused(
                source,
                f"it is an operator of the domain {node.domain!r} ({node.op_type}), which ONNX does not define and no library is "
                "loaded for; export the model without it, or before the optimizer that put it there ran",
                layer=name,
            )


def _precisions(model: ModelProto, nodes: list[NodeProto]) -> Iterator[str]:
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    kinds |= {entry.type.tensor_type.elem_type for entry in (*model.graph.input, *model.graph.output)}
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                kinds.add(attribute.t.data_type)
            if node.op_type == "Cast" and attribute.name == "to":
                kinds.add(attribute.i)
    yield from (name for kind, name in NARROW.items() if kind in kinds and kind != TensorProto.DOUBLE)


def attributes(node: NodeProto, tensors: TensorReader | None = None) -> dict[str, Any]:
    """Of a node, by name: numbers, text, lists of these, arrays (through `tensors`) and graphs."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR and tensors is not None:
            found[attribute.name] = tensors.read(attribute.t)
        elif attribute.type == AttributeProto.GRAPH:
            found[attribute.name] = attribute.g
        else:
            value = helper.get_attribute_value(attribute)
            found[attribute.name] = _text(value)
    return found


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
        return [_text(one) for one in value]
    return value
