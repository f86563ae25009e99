"""A graph as it is to be called: whole, bounded, with all its data inside, and its inputs and outputs as the file declares them.

Nothing of it is changed but what keeps onnxruntime from loading it: data beside the file, and a newer version of the file's own
format. No library of custom operators is ever loaded. Knows no states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, inliner, numpy_helper

from cellserve.models.errors import ImportRefused, InvalidWeights
from cellserve.models.importers.onnx.file import MOST_NODES, OWN_DOMAINS, all_nodes, parsed, refuse_broken_names
from cellserve.models.importers.onnx.runtime import NEWEST_IR
from cellserve.models.importers.onnx.steps.recurrent_states import recurrent_states
from cellserve.models.importers.onnx.tensors import TensorReader
from cellserve.models.steps.graph_file import LARGEST_GRAPH_BYTES, GraphFile, Session

BUILT_IN: Final = (*OWN_DOMAINS, "ai.onnx.ml", "com.microsoft")
"""Domains whose operators are inside onnxruntime itself."""

UNBOUNDED: Final = ("Loop", "SequenceMap")
TOGETHER: Final = frozenset(
    {"DynamicQuantizeLSTM", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul"}
    | {"MatMulIntegerToFloat", "QAttention", "DynamicQuantizeGemm"}
)
"""Operators whose answer for one row depends on its mates: one range is taken for all numbers of a call."""

SPARSE: Final = (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS)
RANDOM: Final = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"})


@dataclass(frozen=True, slots=True)
class Declared:
    """An input or output. `dims`: of each axis its size, the name of a free one, or None; None for all: nothing is declared."""

    name: str
    dtype: str
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class StepFile:
    """`mixes`: the operator that makes rows of one call depend on each other, if there is any.

    `recurrent`: by input that recurrent nodes begin with, the outputs that may hold what the same nodes end with.
    """

    path: Path
    graph: GraphFile
    session: Session
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    vocabularies: dict[str, int]
    parameters: int
    producer: str
    mixes: str | None
    recurrent: dict[str, tuple[str, ...]]


def read_step_file(path: Path) -> StepFile:
    """Raises ImportRefused: damaged, far too large, with operators that onnxruntime does not have, or not loaded by it."""
    return _step_file(parsed(path, str(path)), path, _graph)


def step_file(model: ModelProto, path: Path) -> StepFile:
    """Of a graph that stands for the program of a file of another kind. Raises ImportRefused as read_step_file does."""
    return _step_file(model, path, _serialized)


def _step_file(model: ModelProto, path: Path, kept: Callable[[Path, ModelProto], GraphFile]) -> StepFile:
    """`kept`: the graph that is called."""
    source = str(path)
    if not model.graph.node or not model.graph.output:
        raise ImportRefused(source, "this ONNX file holds no graph: it is cut short, damaged, or of another kind")
    if model.functions:
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:  # the library behind it raises its own kinds
            raise ImportRefused(source, f"the functions of this ONNX file cannot be put into its graph: {error}") from error
    sparse = any(one.type in SPARSE for node in all_nodes(model.graph, source) for one in node.attribute)
    if model.graph.sparse_initializer or sparse:
        raise ImportRefused(source, "it holds sparse constants; store them dense and export the model again")
    nodes = list(all_nodes(model.graph, source))
    if len(nodes) > MOST_NODES:
        raise ImportRefused(source, f"its graph has {len(nodes):,} nodes; the limit is {MOST_NODES:,}")
    refuse_broken_names(model.graph, nodes, source)
    for node in nodes:
        place = node.name or node.output[0]
        if node.domain not in BUILT_IN:
            what = f"it is an operator of the domain {node.domain!r} ({node.op_type}), for which no library is ever loaded"
            raise ImportRefused(source, f"{what}; export the model without it", layer=place)
        if node.op_type in UNBOUNDED:
            raise ImportRefused(
                source, f"{node.op_type}: how long a call takes would depend on what it is given; export it unrolled", layer=place
            )
        if node.op_type in RANDOM:
            raise ImportRefused(source, f"{node.op_type} draws numbers at random: no answer could be checked", layer=place)
    parameters = _closed(model, TensorReader(source, path.parent))
    inside = {tensor.name for tensor in model.graph.initializer}
    graph = kept(path, model)
    try:
        session = graph.session()
    except InvalidWeights as error:
        raise ImportRefused(source, str(error)) from error
    return StepFile(
        path,
        graph,
        session,
        tuple(_declared(entry, source) for entry in model.graph.input if entry.name not in inside),
        tuple(_declared(entry, source) for entry in model.graph.output),
        _vocabularies(model.graph),
        parameters,
        _producer(model),
        next((node.op_type for node in nodes if node.op_type in TOGETHER), None),
        recurrent_states(model.graph),
    )


def _graph(path: Path, model: ModelProto) -> GraphFile:
    """The file's own bytes, where onnxruntime takes them as they are."""
    source = str(path)
    external = any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(parsed(path, source)))
    if not external and not model.functions and model.ir_version <= NEWEST_IR:
        return _bounded(path.read_bytes(), source)
    return _serialized(path, model)


def _serialized(path: Path, model: ModelProto) -> GraphFile:
    source = str(path)
    model.ir_version = min(model.ir_version, NEWEST_IR)
    try:
        return _bounded(model.SerializeToString(), source)
    except ValueError as error:  # beyond protobuf's own limit
        raise ImportRefused(source, "with the data beside it, it is too large for one file") from error


def _bounded(content: bytes, source: str) -> GraphFile:
    if len(content) > LARGEST_GRAPH_BYTES:
        raise ImportRefused(source, f"its graph has {len(content):,} bytes; a step model has at most {LARGEST_GRAPH_BYTES:,}")
    return GraphFile(content)


def _closed(model: ModelProto, reader: TensorReader) -> int:
    """Puts all data inside, each within bounds. How many numbers the graph holds."""
    count = 0
    for tensor in _tensors(model):
        if tensor.data_type == TensorProto.STRING:
            continue
        array = reader.read(tensor)
        count += array.size if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE) else 0
        if tensor.data_location == TensorProto.EXTERNAL:
            kept = numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(tensor.data_type)), tensor.name)
            tensor.CopyFrom(kept)
    return count


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """All of them, in branches and attributes too."""
    yield from _tensors_of(model.graph)


def _tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.TENSORS:
                yield from attribute.tensors
            elif attribute.type == AttributeProto.GRAPH:
                yield from _tensors_of(attribute.g)
            elif attribute.type == AttributeProto.GRAPHS:
                for inner in attribute.graphs:
                    yield from _tensors_of(inner)


def _declared(entry: ValueInfoProto, source: str) -> Declared:
    tensor = entry.type.tensor_type
    if not entry.type.HasField("tensor_type"):
        raise ImportRefused(source, f"{entry.name!r} is no tensor")
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError) as error:
        raise ImportRefused(source, f"{entry.name!r} is of the unknown type {tensor.elem_type}") from error
    if not tensor.HasField("shape"):
        return Declared(entry.name, dtype, None)
    return Declared(entry.name, dtype, tuple(_dim(dim) for dim in tensor.shape.dim))


def _dim(dim: Any) -> int | str | None:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or None


def _vocabularies(graph: GraphProto) -> dict[str, int]:
    """Of inputs that a table is looked up by: its length."""
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Gather" and len(node.input) == 2 and (shape := sizes.get(node.input[0])):
            axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
            size = int(shape[axis]) if -len(shape) <= axis < len(shape) else 0
            if size > 0:
                found[node.input[1]] = min(size, found.get(node.input[1], size))
    return found


def _producer(model: ModelProto) -> str:
    opset = max((entry.version for entry in model.opset_import if entry.domain in OWN_DOMAINS), default=0)
    said = " ".join(str(word) for word in (model.producer_name, model.producer_version) if word)
    return f"opset {opset}" + (f", {said[:60]}" if said else "")
