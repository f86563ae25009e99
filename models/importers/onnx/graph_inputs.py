"""What the inputs of an ONNX graph may be: sequences in one of several layouts, vectors, ids, states, lengths or options.

A file names its inputs and says their ranks; which axis is time it does not say. So readings are tried, the likeliest first, and
the one that the whole graph agrees with is taken. Knows no operators' meaning but which inputs of a recurrence are states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from onnx import AttributeProto, NodeProto, TensorProto, ValueInfoProto, helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.file import OnnxFile, all_nodes
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS
from cellserve.models.importers.onnx.operators import MOVING, OF_IDS
from cellserve.models.importers.onnx.values import Atom, Axis, Flow, Given, Known, Part, Value, feature

Array = npt.NDArray[Any]
Role = Literal["features", "ids", "state", "lengths", "option", "unused"]

ROWS: Final = (3, 5)  # of the two trials; primes that no size of a layer is a multiple of, as far as can be
STEPS: Final = (4093, 5003)
MOST_READINGS: Final = 600
MOST_LENGTHS: Final = 12
LONGEST: Final = 1 << 14
LARGEST_RANK: Final = 4
FLOATS: Final = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
COUNTS: Final = frozenset({TensorProto.INT32, TensorProto.INT64})
WHOLE: Final = frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT8})


@dataclass(frozen=True, slots=True)
class GraphInput:
    """`dims`: of each axis the size that the file fixes, or None."""

    name: str
    type: int
    dims: tuple[int | None, ...]
    role: Role

    @property
    def dtype(self) -> np.dtype[Any]:
        """As it is fed; narrower floats are fed as float32."""
        return np.dtype(np.float32) if self.type in FLOATS else helper.tensor_dtype_to_np_dtype(self.type)


@dataclass(frozen=True, slots=True)
class Reading:
    """`layouts`: of each input, a letter for each axis: b rows, t steps, f features, 1 nothing, else the state's own.

    `steps`: the length that the graph is fixed at, None if at none; `rows`: likewise.
    """

    layouts: Mapping[str, str]
    steps: int | None
    rows: int | None

    @property
    def trials(self) -> tuple[tuple[int, int], ...]:
        """(rows, steps) of each."""
        return tuple((self.rows or rows, self.steps or steps) for rows, steps in zip(ROWS, STEPS))


def graph_inputs(file: OnnxFile) -> list[GraphInput]:
    """Raises ImportRefused: of a type or rank that no network here reads."""
    source = str(file.path)
    nodes = list(all_nodes(file.graph, source))
    found = [_input(entry, nodes, source) for entry in file.graph.input if entry.name not in file.constants]
    return _with_lengths(file, found, nodes)


def _input(entry: ValueInfoProto, nodes: Sequence[NodeProto], source: str) -> GraphInput:
    tensor = entry.type.tensor_type
    if not entry.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise ImportRefused(source, f"its input {entry.name!r} declares no shape; export the model with one")
    dims = tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim)
    reads = _read_as(entry.name, nodes)
    found = GraphInput(
        entry.name, tensor.elem_type, dims, _role(tensor.elem_type, dims, reads, whole=_made_whole(entry.name, nodes))
    )
    if found.role in ("features", "ids") and not 1 <= len(dims) <= LARGEST_RANK:
        raise ImportRefused(source, f"its input {entry.name!r} has {len(dims)} axes; sequences of vectors or of ids are read")
    if tensor.elem_type not in (*FLOATS, *WHOLE, TensorProto.BOOL):
        raise ImportRefused(source, f"its input {entry.name!r} is of a type that no network here reads")
    return found


def _role(kind: int, dims: Sequence[int | None], reads: set[tuple[str, int]], *, whole: bool) -> Role:
    """`whole`: whether the graph makes whole numbers of it before anything else."""
    if not reads:
        return "unused"
    if all(operator in OPERATORS and place in (5, 6) for operator, place in reads):
        return "state"
    if all((operator in OPERATORS and place == 4) or (operator == "ReverseSequence" and place == 1) for operator, place in reads):
        return "lengths"
    if not dims or kind == TensorProto.BOOL or (len(dims) == 1 and dims[0] == 1 and kind not in FLOATS):
        return "option"
    return "features" if kind in FLOATS and not whole else "ids"


def _with_lengths(file: OnnxFile, found: Sequence[GraphInput], nodes: Sequence[NodeProto]) -> list[GraphInput]:
    """Beside a sequence, one whole number for each row counts its steps, unless it is looked up in a table."""
    longest = max((len(entry.dims) for entry in found if entry.role in ("features", "ids")), default=0)
    tables = _tables(file, nodes)
    return [
        replace(entry, role="lengths")
        if entry.role in ("ids", "option")
        and entry.type in COUNTS
        and 0 < len(entry.dims) < longest
        and _is_one_for_each_row(entry)
        and not _is_looked_up(entry.name, nodes, tables)
        else entry
        for entry in found
    ]


def _is_one_for_each_row(entry: GraphInput) -> bool:
    """A number that may be the only one may be anything, so it must have the name of a length."""
    several = [size for size in entry.dims if size != 1]
    return len(several) == 1 or (not several and "len" in entry.name.lower())


def _tables(file: OnnxFile, nodes: Sequence[NodeProto]) -> set[str]:
    """Tensors that are made of constants alone."""
    found = set(file.constants)
    for node in nodes:
        if all(name in found for name in node.input if name) and not any(
            one.type == AttributeProto.GRAPH for one in node.attribute
        ):
            found.update(node.output)
    return found


def _is_looked_up(name: str, nodes: Sequence[NodeProto], tables: set[str]) -> bool:
    names = {name}
    for node in nodes:
        places = [place for place, one in enumerate(node.input) if one in names]
        if places and (node.op_type == "OneHot" or (node.op_type == "Gather" and places == [1] and node.input[0] in tables)):
            return True
        if places and (node.op_type in OF_IDS or node.op_type in MOVING):
            names.update(node.output)
    return False


def _read_as(name: str, nodes: Sequence[NodeProto]) -> set[tuple[str, int]]:
    """Which operators compute with it, at which of their inputs; what only moves it is looked through."""
    names, found = {name}, set()
    for node in nodes:
        for place, read in enumerate(node.input):
            if read not in names or node.op_type == "Shape":
                continue
            if node.op_type in MOVING and (place == 0 or node.op_type == "Concat"):
                names.update(node.output)
            else:
                found.add((node.op_type, place))
    return found


def _made_whole(name: str, nodes: Sequence[NodeProto]) -> bool:
    readers = [node for node in nodes if name in node.input and node.op_type != "Shape"]
    casts = [attribute.i for node in readers if node.op_type == "Cast" for attribute in node.attribute if attribute.name == "to"]
    return bool(readers) and len(casts) == len(readers) and set(casts) <= WHOLE


def readings(file: OnnxFile, inputs: Sequence[GraphInput]) -> Iterator[Reading]:
    """The likeliest first: free lengths before fixed ones, rows before steps before features."""
    layouts = [_layouts(entry) for entry in inputs]
    count = 0
    for steps in (None, *_lengths(file, inputs)):
        for chosen in product(*layouts):
            named = {entry.name: layout for entry, layout in zip(inputs, chosen)}
            rows = [entry.dims[layout.index("b")] for entry, layout in zip(inputs, chosen) if "b" in layout]
            sequences = [entry for entry, layout in zip(inputs, chosen) if "t" in layout]
            declared = {entry.dims[named[entry.name].index("t")] for entry in sequences} - {None, 1}
            if not sequences or (steps is not None and declared - {steps}) or (count := count + 1) > MOST_READINGS:
                continue
            fixed = next((size for size in rows if size not in (None, 1)), None)
            yield Reading(named, steps, fixed)


def _layouts(entry: GraphInput) -> list[str]:
    """Those that what the file says of the axes allows."""
    rank = len(entry.dims)
    if entry.role in ("option", "unused"):
        return ["s" * rank]
    if entry.role == "lengths":
        rows = [place for place in range(rank) if entry.dims[place] != 1] or [0]
        return ["".join("b" if place == rows[0] else "1" for place in range(rank))] if len(rows) == 1 else []
    if entry.role == "state":
        free = [place for place in range(rank) if entry.dims[place] in (None, 1)]
        order = sorted(free, key=lambda place: (entry.dims[place] is not None, abs(place - 1)))
        return [*("".join("b" if place == p else "s" for p in range(rank)) for place in order), "s" * rank]
    found = ["".join(letters) for letters in product("btf1", repeat=rank) if _fits(entry, letters)]
    return sorted(found, key=lambda layout: ("t" not in layout, "b" not in layout, _rank(layout)))


def _rank(layout: str) -> list[int]:
    return ["btf1".index(letter) for letter in layout]


def _fits(entry: GraphInput, letters: Sequence[str]) -> bool:
    if any(letters.count(letter) > 1 for letter in "btf"):
        return False
    if any(letter == "1" and size != 1 for letter, size in zip(letters, entry.dims)):
        return False
    if any(letter == "f" and size is None for letter, size in zip(letters, entry.dims)):
        return False
    if entry.role == "ids":
        return "t" in letters and "f" not in letters
    return "t" in letters or "f" in letters


def _lengths(file: OnnxFile, inputs: Sequence[GraphInput]) -> list[int]:
    """Numbers of steps that the file may be fixed at: sizes of its inputs, then what its shapes are made of."""
    found = [
        size for entry in inputs if entry.role in ("features", "ids") for size in entry.dims if size is not None and size > 1
    ]
    arrays = list(file.constants.values())
    for node in all_nodes(file.graph, str(file.path)):
        arrays += [file.reader.read(one.t) for one in node.attribute if one.name == "value" and _is_shape(one.t)]
    for array in arrays:
        if array.dtype == np.int64 and array.ndim <= 1 and array.size <= 8:
            found += [int(size) for size in np.ravel(array) if 1 < size <= LONGEST]
    return list(dict.fromkeys(found))[:MOST_LENGTHS]


def _is_shape(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.INT64 and prod(tensor.dims) <= 8 and tensor.data_location != TensorProto.EXTERNAL


def values(
    inputs: Sequence[GraphInput], reading: Reading, names: Mapping[str, str], options: Mapping[str, Array]
) -> dict[str, Value]:
    """What the graph's inputs stand for under a reading. `names`: of the network's inputs; `options`: as declared."""
    made: dict[str, Value] = {}
    count = len(reading.trials)
    for entry in inputs:
        layout = reading.layouts[entry.name]
        if entry.role in ("option", "unused"):
            array = options.get(entry.name, np.zeros([size or 1 for size in entry.dims], entry.dtype))
            made[entry.name] = Known((array,) * count)
        elif entry.role in ("state", "lengths"):
            shapes = [
                tuple(rows if letter == "b" else size or 1 for letter, size in zip(layout, entry.dims))
                for rows, _ in reading.trials
            ]
            if entry.role == "lengths":  # each row is computed as if it were alone, without padding
                filled = [np.full(shape, steps, entry.dtype) for shape, (_, steps) in zip(shapes, reading.trials)]
                made[entry.name] = Known(tuple(filled))
                continue
            places = tuple(np.arange(prod(shape), dtype=np.int64).reshape(shape) for shape in shapes)
            made[entry.name] = Given(entry.name, places)
        else:
            made[entry.name] = _flow(entry, layout, reading, names[entry.name])
    return made


def _flow(entry: GraphInput, layout: str, reading: Reading, name: str) -> Flow:
    rows, steps = zip(*reading.trials)
    width = next((size for letter, size in zip(layout, entry.dims) if letter == "f"), 1) or 1
    own = (feature(width, len(rows)),) if width > 1 else ()
    axes: dict[str, Axis] = {"b": (Atom("batch", rows),), "t": (Atom("time", steps),), "f": own, "1": ()}
    ids = entry.role == "ids"
    if ids:
        return Flow(
            (Part(name, width),), tuple(axes[letter] for letter in layout), (), ids, of=partial(np.asarray, dtype=entry.dtype)
        )
    return Flow((Part(name, width),), tuple(axes[letter] for letter in layout), own)
