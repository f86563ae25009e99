"""A TFLite file as plain data: its graphs, tensors, constants and options, every length checked before it is followed.

The schema's classes are the `tflite` package's; they trust what they read, so nothing else of the importer holds one. Runs
nothing. Knows no operators.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.limits import Allowance

Array = npt.NDArray[Any]
MOST_OPERATORS: Final = 50_000
LARGEST_RANK: Final = 8
DTYPES: Final[Mapping[str, Any]] = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "FLOAT64": np.float64,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "INT4": np.int8,
}
DAMAGED: Final = "the TFLite file is damaged or cut short; copy it again, or convert the model again"
BROKEN: Final = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, AssertionError)
"""What the schema's classes raise where offsets lead nowhere."""


@dataclass(frozen=True, slots=True)
class Scales:
    """What the numbers of a quantised tensor mean: (number - zero) · scale, one for all or one for each place of `axis`."""

    scale: Array
    zero: Array
    axis: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape`: as stored; `free`: which axes are of any size. `array`: of a constant. `variable`: kept from call to call."""

    name: str
    type: str
    shape: tuple[int, ...]
    free: tuple[bool, ...]
    array: Array | None
    variable: bool
    scales: Scales | None


@dataclass(frozen=True, slots=True)
class Operator:
    """`inputs`: numbers of tensors, -1 for one that is left out; `options`: by the schema's names, such as "TimeMajor"."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]

    def input(self, place: int) -> int:
        return self.inputs[place] if place < len(self.inputs) else -1


@dataclass(frozen=True, slots=True)
class Graph:
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """`graphs`: the main one first, then those that operators run. `said`: what wrote it, as far as it says."""

    path: Path
    graphs: tuple[Graph, ...]
    said: str


def read_tflite(path: Path) -> TfliteFile:
    """Raises ImportRefused: damaged, or with what no network here holds."""
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImportRefused(source, f"the file cannot be read: {error.strerror or error}") from error
    try:
        return _Reader(source, content, _schema()).file(path)
    except BROKEN as error:
        raise ImportRefused(source, DAMAGED) from error


def _schema() -> ModuleType:
    return import_module("tflite")  # a second, for files of this kind alone


class _Reader:
    def __init__(self, source: str, content: bytes, schema: ModuleType) -> None:
        self._source = source
        self._content = content
        self._schema = schema
        self._allowance = Allowance(source)

    def file(self, path: Path) -> TfliteFile:
        model = self._schema.Model.GetRootAsModel(self._content, 0)
        kinds = [self._kind(model.OperatorCodes(n)) for n in self._range(model.OperatorCodesLength())]
        graphs = tuple(self._graph(model, model.Subgraphs(n), kinds) for n in self._range(model.SubgraphsLength()))
        if not graphs or not graphs[0].operators or not graphs[0].outputs:
            raise ImportRefused(self._source, DAMAGED)
        said = _text(model.Description())
        return TfliteFile(path, graphs, f"schema {model.Version()}" + (f", {said[:60].rstrip('.')}" if said else ""))

    def _range(self, length: int) -> range:
        """Raises ValueError: more than the file can hold, each of which takes four bytes at the least."""
        if not 0 <= length <= len(self._content) // 4:
            raise ValueError(f"{length} of something")
        return range(length)

    def _kind(self, code: Any) -> str:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = _names(self._schema.BuiltinOperator).get(number)
        if kind is None:
            raise ImportRefused(
                self._source,
                f"it has an operator of number {number}, which is newer than cellserve, or the file is damaged; import the model "
                "that it was converted from",
            )
        return f"{kind} {_text(code.CustomCode())!r}" if kind == "CUSTOM" else kind

    def _graph(self, model: Any, graph: Any, kinds: list[str]) -> Graph:
        tensors = tuple(self._tensor(model, graph.Tensors(n), n) for n in self._range(graph.TensorsLength()))
        if graph.OperatorsLength() > MOST_OPERATORS:
            raise ImportRefused(
                self._source, f"it has {graph.OperatorsLength():,} operators; the limit is {MOST_OPERATORS:,}, or it is damaged"
            )
        operators = tuple(self._operator(graph.Operators(n), kinds) for n in self._range(graph.OperatorsLength()))
        found = Graph(tensors, self._numbers(graph, "Inputs"), self._numbers(graph, "Outputs"), operators)
        used = {n for one in operators for n in (*one.inputs, *one.outputs)} | {*found.inputs, *found.outputs}
        if not all(-1 <= number < len(tensors) for number in used) or -1 in (*found.inputs, *found.outputs):
            raise ValueError("a tensor that there is not")
        return found

    def _numbers(self, table: Any, name: str) -> tuple[int, ...]:
        self._range(getattr(table, f"{name}Length")())
        return tuple(int(number) for number in np.ravel(getattr(table, f"{name}AsNumpy")()) if getattr(table, f"{name}Length")())

    def _operator(self, operator: Any, kinds: list[str]) -> Operator:
        return Operator(
            kinds[operator.OpcodeIndex()],
            self._numbers(operator, "Inputs"),
            self._numbers(operator, "Outputs"),
            self._options(operator),
        )

    def _options(self, operator: Any) -> dict[str, Any]:
        """Numbers, truths and lists of numbers; what else options may hold is not read."""
        name = _names(self._schema.BuiltinOptions).get(operator.BuiltinOptionsType())
        table = operator.BuiltinOptions()
        kind = getattr(self._schema, name, None) if name and name != "NONE" else None
        if table is None or kind is None:
            return {}
        options = kind()
        options.Init(table.Bytes, table.Pos)
        plain, lists = _fields(kind)
        found: dict[str, Any] = {key: getattr(options, key)() for key in plain}
        return found | {key: self._numbers(options, key) for key in lists}

    def _tensor(self, model: Any, tensor: Any, number: int) -> Tensor:
        name = _text(tensor.Name()) or f"tensor {number}"
        kind = _names(self._schema.TensorType).get(tensor.Type(), "")
        shape, signature = self._numbers(tensor, "Shape"), self._numbers(tensor, "ShapeSignature")
        if len(shape) > LARGEST_RANK or min(shape, default=0) < 0:
            raise ValueError("a shape that is none")
        free = tuple(size < 0 for size in signature) if len(signature) == len(shape) else (False,) * len(shape)
        data = self._data(model, tensor.Buffer())
        array = None if data is None else self._array(name, kind, shape, data, sparse=tensor.Sparsity() is not None)
        return Tensor(name, kind, shape, free, array, bool(tensor.IsVariable()), self._scales(tensor.Quantization(), shape))

    def _data(self, model: Any, number: int) -> bytes | None:
        """Of a constant. Files of more than 2 GB keep them behind the graph."""
        if number not in self._range(model.BuffersLength()):
            raise ValueError("a buffer that there is not")
        buffer = model.Buffers(number)
        if buffer.Offset() > 1:
            data = self._content[buffer.Offset() : buffer.Offset() + buffer.Size()]
            if len(data) != buffer.Size():
                raise ValueError("a buffer beyond the end")
            return data
        if not buffer.DataLength():
            return None
        return bytes(np.ravel(buffer.DataAsNumpy()).tobytes())

    def _array(self, name: str, kind: str, shape: tuple[int, ...], data: bytes, *, sparse: bool) -> Array | None:
        if sparse:
            raise ImportRefused(
                self._source,
                f"its constant {name!r} is stored sparse; convert the model without sparsity, or import the original",
            )
        if kind not in DTYPES:
            return None  # refused by whatever computes with it
        dtype, count = np.dtype(DTYPES[kind]), int(np.prod(shape, dtype=np.int64))
        size = (count + 1) // 2 if kind == "INT4" else count * dtype.itemsize
        self._allowance.array(name, shape, max(4, dtype.itemsize))
        if len(data) != size:
            raise ImportRefused(
                self._source, f"its constant {name!r} of {list(shape)} has {len(data)} bytes where {size} are expected; {DAMAGED}"
            )
        if kind == "INT4":  # two of them to a byte, the low one first
            packed = np.frombuffer(data, np.int8)
            return np.stack([packed << 4 >> 4, packed >> 4], axis=1).ravel()[:count].reshape(shape)
        return np.frombuffer(data, dtype).reshape(shape)

    def _scales(self, table: Any, shape: tuple[int, ...]) -> Scales | None:
        if table is None or not table.ScaleLength():
            return None
        self._range(table.ScaleLength()), self._range(table.ZeroPointLength())
        scale, axis = np.ravel(table.ScaleAsNumpy()), int(table.QuantizedDimension())
        zero = np.ravel(table.ZeroPointAsNumpy()) if table.ZeroPointLength() else np.zeros(len(scale), np.int64)
        if len(zero) != len(scale) or (len(scale) > 1 and (axis not in range(len(shape)) or shape[axis] != len(scale))):
            raise ValueError("scales that do not fit")
        return Scales(scale, zero, axis)


@cache
def _names(enumeration: type) -> Mapping[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


@cache
def _fields(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of a class of options: (those of one number, those that are lists)."""
    own: Mapping[str, Callable[..., Any]] = {
        name: value for name, value in vars(kind).items() if callable(value) and name[:1].isupper() and name != "Init"
    }
    lists = tuple(name.removesuffix("AsNumpy") for name in own if name.endswith("AsNumpy"))
    of_lists = {f"{name}{suffix}" for name in lists for suffix in ("", "AsNumpy", "Length", "IsNone")}
    plain = tuple(name for name in own if name not in of_lists and not name.startswith("GetRootAs") and "Buffer" not in name)
    return plain, lists


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
