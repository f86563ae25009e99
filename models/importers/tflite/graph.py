"""A TFLite file as an ONNX graph that computes the same: operator by operator, with constants in what they mean.

Knows no operators and no layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.file import OnnxFile, read_by
from cellserve.models.importers.onnx.tensors import TensorReader
from cellserve.models.importers.tflite.call import Call, Emitter
from cellserve.models.importers.tflite.file import Graph, Operator, Scales, Tensor, TfliteFile
from cellserve.models.importers.tflite.loops import loop
from cellserve.models.importers.tflite.operators.table import MOVING, RECURRENT, TURNS
from cellserve.models.importers.tflite.variables import OF_VARIABLES, initial

Array = npt.NDArray[Any]
OPSET: Final = 20
FEW_BITS: Final = frozenset({"INT8", "UINT8", "INT16", "INT4"})
KINDS: Final[Mapping[str, int]] = {
    "FLOAT32": TensorProto.FLOAT,
    "FLOAT16": TensorProto.FLOAT,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "BOOL": TensorProto.BOOL,
}
ORIGINAL: Final = "import the model that it was converted from (.keras, .h5 or a SavedModel folder of tf.keras)"


def as_onnx(file: TfliteFile, *, free: bool, dequantize: bool) -> OnnxFile:
    """`free`: as if the file did not fix the number of steps; it fixes that of its example, needed or not.

    Raises ImportRefused naming the operator.
    """
    main, source = file.graphs[0], str(file.path)
    if not any(operator.kind in (*RECURRENT, "WHILE") for operator in main.operators):
        _refuse_without_recurrence(main, source)
    if not dequantize:
        _refuse_quantized(file, source)
    emitter = Emitter(source)
    emitter.taken |= {main.tensors[number].name for number in (*main.inputs, *main.outputs)}
    known = _constants(main)
    values = {n: emitter.constant(main.tensors[n].name, array) for n, array in known.items()}
    values |= {n: main.tensors[n].name for n in main.inputs}
    _Turning(file).follow(main, main.operators, values, known, emitter, "")
    outputs = _outputs(main, values, emitter)
    inputs = [_input(main.tensors[number], source, free=free) for number in main.inputs]
    used = {name for node in emitter.nodes for name in read_by(node)}
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(emitter.nodes, "main", inputs, ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    constants = {name: array for name, array in emitter.constants.items() if name in used}
    return OnnxFile(file.path, model, constants, frozenset(), TensorReader(source, file.path.parent))


@dataclass(frozen=True, slots=True)
class _Turning:
    file: TfliteFile

    def follow(
        self,
        graph: Graph,
        operators: Sequence[Operator],
        values: dict[int, str],
        known: dict[int, Array],
        emitter: Emitter,
        place: str,
    ) -> None:
        """Adds what the operators make. place: what the names of theirs begin with."""
        for number, operator in enumerate(operators):
            call = Call(operator, f"{place}{operator.kind.lower()}_{number}", graph, values, known, emitter)
            if operator.kind == "DEQUANTIZE" and operator.input(0) in known and len(operator.outputs) == 1:
                known[operator.outputs[0]] = known[operator.input(0)]
            elif operator.kind == "READ_VARIABLE":
                known[operator.outputs[0]] = array = initial(call, self.file)
                values[operator.outputs[0]] = emitter.constant(f"{call.name}/start", array)
                continue
            elif operator.kind in OF_VARIABLES:
                continue
            values |= {output: value for output, value in zip(operator.outputs, self._turned(call)) if value}

    def _turned(self, call: Call) -> list[str]:
        kind = call.operator.kind
        try:
            if kind == "WHILE":
                return loop(call, self.file.graphs, _constants, self.follow)
            if kind in TURNS:
                return TURNS[kind](call)
        except (IndexError, ValueError, TypeError, ZeroDivisionError) as error:  # options and constants that do not fit
            raise call.refused(f"it is of a form not known here ({error}); the file may be damaged, or {ORIGINAL}") from error
        raise call.refused(f"{kind} is no operator of a TFLite file that cellserve reads; {ORIGINAL}")


def _constants(graph: Graph) -> dict[int, Array]:
    return {n: _meant(tensor) for n, tensor in enumerate(graph.tensors) if tensor.array is not None}


def _outputs(main: Graph, values: Mapping[int, str], emitter: Emitter) -> list[str]:
    for number in main.outputs:
        if number not in values:
            raise ImportRefused(emitter.source, f"nothing makes its output {main.tensors[number].name!r}; the file is damaged")
        name = main.tensors[number].name
        if values[number] != name:
            emitter.nodes.append(NodeProto(op_type="Identity", name=name, input=[values[number]], output=[name]))
    return [main.tensors[number].name for number in main.outputs]


def _input(tensor: Tensor, source: str, *, free: bool) -> ValueInfoProto:
    kind = TensorProto.FLOAT if tensor.scales is not None else KINDS.get(tensor.type)
    if kind is None:
        raise ImportRefused(
            source, f"its input {tensor.name!r} is of the type {tensor.type or 'unknown'}, which no network here reads"
        )
    dims = [None if any_size else size for size, any_size in zip(tensor.shape, tensor.free)]
    steps = 2 if len(dims) == 3 or (len(dims) == 2 and kind != TensorProto.FLOAT) else 1
    if free:
        dims = [None if place < steps else size for place, size in enumerate(dims)]
    return helper.make_tensor_value_info(tensor.name, kind, dims)


def _meant(tensor: Tensor) -> Array:
    """What its numbers mean; narrower floats as float32."""
    array = tensor.array if tensor.array is not None else np.zeros(0, np.float32)
    if tensor.scales is not None and tensor.type in (*FEW_BITS, "INT32"):
        return _dequantized(array, tensor.scales)
    return array.astype(np.float32) if array.dtype in (np.float16, np.float64) else array


def _dequantized(array: Array, scales: Scales) -> Array:
    shape = [1] * array.ndim
    if len(scales.scale) > 1:
        shape[scales.axis] = -1
    zero, scale = (one.reshape(shape) for one in (scales.zero.astype(np.float64), scales.scale.astype(np.float64)))
    return ((array.astype(np.float64) - zero) * scale).astype(np.float32)


def _refuse_without_recurrence(main: Graph, source: str) -> None:
    kinds = {operator.kind for operator in main.operators}
    for kind in sorted(kinds & {"LSTM", "RNN", "SVDF", "WHILE"}):
        what = (
            "it runs its recurrent layer as a loop of single operators" if kind == "WHILE"
            else f"it is a single step ({kind}) whose states TFLite keeps from call to call"
        )  # fmt: skip
        raise ImportRefused(source, f"{what}, which is not read; {ORIGINAL}", layer=kind)
    raise ImportRefused(
        source,
        "it has no recurrent operator (UNIDIRECTIONAL_SEQUENCE_LSTM and its like): it is not recurrent, or the converter wrote "
        f"out its steps one by one. {ORIGINAL[:1].upper()}{ORIGINAL[1:]}",
    )


def _refuse_quantized(file: TfliteFile, source: str) -> None:
    for graph in file.graphs:
        for number, operator in enumerate(graph.operators):
            if (kind := _few_bits(graph, operator)) is None:
                continue
            raise ImportRefused(
                source,
                f"it computes with numbers of few bits ({kind.lower()}), so that what it answers is not what float32 answers; "
                "import it with --dequantize, which takes its weights in float32 and answers near it, or the model that it was "
                "converted from",
                layer=f"{operator.kind.lower()}_{number} ({operator.kind})",
            )


def _few_bits(graph: Graph, operator: Operator) -> str | None:
    """The type of what it computes with, if that is of few bits."""
    if operator.kind in MOVING:
        return None
    tensors = [graph.tensors[number] for number in (*operator.inputs, *operator.outputs) if number >= 0]
    return next((one.type for one in tensors if one.scales is not None and one.type in FEW_BITS), None)


def is_quantized(file: TfliteFile) -> bool:
    return any(_few_bits(graph, operator) is not None for graph in file.graphs for operator in graph.operators)
