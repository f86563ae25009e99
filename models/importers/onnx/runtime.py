"""What onnxruntime answers with an ONNX file itself, in float32 and at any number of rows and steps. Knows no networks.

The graph that it runs is the file's own; only what keeps it from running is changed: sizes that are declared and not needed,
narrower floats, versions of the file format that are newer than the library, and layout 1, which onnxruntime does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from cellserve.models.importers.onnx.file import OWN_DOMAINS, OnnxFile
from cellserve.models.importers.onnx.folding import NEWEST_OPSET, options
from cellserve.models.importers.onnx.layers.recurrent import CELL_CLIP, OPERATORS

Array = npt.NDArray[Any]
NEWEST_IR: Final = 10
FOREIGN_FLOATS: Final = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
LEADING: Final = {"X": [1, 0, 2], "state": [1, 0, 2], "Y": [2, 0, 1, 3]}  # of layout 1 to and from the usual one


class NotRun(Exception):
    """onnxruntime does not run the graph on these inputs; the message is its own."""


class OtherShape(NotRun):
    """It does, and answers something of another shape than the layers."""


class Answering(Protocol):
    """What a file answers itself. `by`: who computes it, as a person is told."""

    @property
    def by(self) -> str: ...

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """By output. Raises NotRun."""


class Runtime:
    """Raises NotRun: the graph cannot be loaded."""

    def __init__(self, file: OnnxFile, outputs: Sequence[str]) -> None:
        self._outputs = list(outputs)
        try:
            chosen = options()
            chosen.add_session_config_entry("session.disable_quant_qdq", "1")  # else weights in few bits make activations so, too
            content = runnable(file, outputs).SerializeToString()
            self._session = onnxruntime.InferenceSession(content, chosen, providers=["CPUExecutionProvider"])
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise NotRun(_short(error)) from error

    @property
    def by(self) -> str:
        return f"onnxruntime {onnxruntime.__version__}"

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """By output. Raises NotRun."""
        wanted = {entry.name for entry in self._session.get_inputs()}
        try:
            made = self._session.run(self._outputs, {name: array for name, array in feeds.items() if name in wanted})
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise NotRun(_short(error)) from error
        return {name: np.asarray(array) for name, array in zip(self._outputs, made)}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def runnable(file: OnnxFile, outputs: Sequence[str]) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(file.model)
    model.ir_version = min(model.ir_version, NEWEST_IR)
    for version in model.opset_import:
        version.version = min(version.version, NEWEST_OPSET) if version.domain in OWN_DOMAINS else version.version
    graph = model.graph
    kept = {entry.name: entry for entry in graph.output}
    del graph.initializer[:], graph.value_info[:], graph.output[:]
    graph.initializer.extend(numpy_helper.from_array(_served(array), name) for name, array in file.constants.items())
    graph.output.extend(kept.get(name) or helper.make_empty_tensor_value_info(name) for name in outputs)
    for entry in graph.input:
        _loosen(entry)
    for entry in graph.output:
        entry.type.ClearField("tensor_type")
        entry.ClearField("type")
    _rewrite(graph, file)
    return model


def rewritten(nodes: Sequence[NodeProto], file: OnnxFile) -> list[NodeProto]:
    """Of the file, as onnxruntime runs them in float32."""
    graph = GraphProto()
    graph.node.extend(nodes)
    _rewrite(graph, file)
    return list(graph.node)


def _served(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _loosen(entry: ValueInfoProto) -> None:
    tensor = entry.type.tensor_type
    if tensor.elem_type in FOREIGN_FLOATS:
        tensor.elem_type = TensorProto.FLOAT
    for place, dim in enumerate(tensor.shape.dim):
        dim.Clear()
        dim.dim_param = f"{entry.name}_{place}"


def _rewrite(graph: GraphProto, file: OnnxFile) -> None:
    """Every node, and those of branches within."""
    nodes: list[NodeProto] = []
    for node in graph.node:
        for attribute in [one for one in node.attribute if one.name == CELL_CLIP]:
            node.attribute.remove(attribute)
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                inner = attribute.g
                for tensor in inner.initializer:
                    tensor.CopyFrom(numpy_helper.from_array(_served(file.reader.read(tensor)), tensor.name))
                del inner.value_info[:]
                for entry in inner.output:
                    entry.ClearField("type")
                _rewrite(inner, file)
            elif attribute.type == AttributeProto.TENSOR:
                name = attribute.t.name
                attribute.t.CopyFrom(numpy_helper.from_array(_served(file.reader.read(attribute.t)), name))
            elif attribute.name == "to" and attribute.i in FOREIGN_FLOATS:
                attribute.i = TensorProto.FLOAT
        nodes += _batch_first(node) if node.op_type in OPERATORS else [node]
    copies = [_copied(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _copied(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made


def _batch_first(node: NodeProto) -> list[NodeProto]:
    """A recurrent node of layout 1 as one of layout 0 between transpositions."""
    if not any(attribute.name == "layout" and attribute.i == 1 for attribute in node.attribute):
        return [node]
    made = _copied(node)
    kept = [attribute for attribute in node.attribute if attribute.name != "layout"]
    del made.attribute[:]
    made.attribute.extend(kept)
    before, after = [], []
    for place, name in enumerate(node.input):
        if name and place in (0, 5, 6):
            made.input[place] = f"{node.output[0] or node.output[1]}::in{place}"
            before.append(helper.make_node("Transpose", [name], [made.input[place]], perm=LEADING["X"]))
    for place, name in enumerate(node.output):
        if name:
            made.output[place] = f"{name}::time_major"
            order = LEADING["Y"] if place == 0 else LEADING["state"]
            after.append(helper.make_node("Transpose", [made.output[place]], [name], perm=order))
    return [*before, made, *after]
