"""ModelInfer requests that are right, and the ways to make one of them wrong.

A mutation changes the message in place and returns the statuses that a request wrong in this way alone may end with; an empty
set says that it found nothing to change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb.open_inference_pb2 import InferParameter, ModelInferRequest
from tests.fuzz.arrays import MOST_ROWS, batches
from tests.fuzz.cases import PERMITTED
from tests.fuzz.targets import Target
from tests.fuzz.values import ANY_INTEGERS, IMPLEMENTATIONS, NAMES, NOT_FINITE, STRANGE_SIZES, VERSIONS

Mutation = Callable[[st.DrawFn, ModelInferRequest], frozenset[str]]

OK: Final = frozenset(("OK",))
INVALID: Final = frozenset(("INVALID_ARGUMENT",))
UNKNOWN: Final = frozenset(("NOT_FOUND",))
NOT_OFFERED: Final = frozenset(("UNIMPLEMENTED",))
NOTHING: Final[frozenset[str]] = frozenset()

_DATATYPES: Final = (
    "BOOL",
    "UINT8",
    "INT8",
    "INT32",
    "INT64",
    "UINT64",
    "FP16",
    "BF16",
    "FP32",
    "FP64",
    "BYTES",
    "",
    "fp32",
    "FP32\0",
)
_TYPES: Final = {"float32": "FP32", "int64": "INT64", "int32": "INT32", "bool": "BOOL"}
_ITEM_BYTES: Final = {"FP32": 4, "INT64": 8, "INT32": 4, "BOOL": 1}
_FIELDS: Final = {"FP32": "fp32_contents", "INT64": "int64_contents", "INT32": "int_contents", "BOOL": "bool_contents"}


@st.composite
def good(draw: st.DrawFn, target: Target, most_rows: int = MOST_ROWS, states: bool = True) -> ModelInferRequest:
    batch = draw(batches(target, most_rows))
    request = ModelInferRequest(model_name=target.model, id=draw(st.sampled_from(("", "1", "a b\n", "é" * 300))))
    arrays = {"inputs": batch.values, **{f"state.{key}": state for key, state in batch.states.items() if states}}
    if batch.lengths is not None:
        arrays["lengths"] = batch.lengths.astype(draw(st.sampled_from((np.int32, np.int64))))
    if batch.mask is not None:
        arrays["mask"] = batch.mask
    raw = draw(st.booleans())
    for name, array in draw(st.permutations(sorted(arrays.items()))):
        datatype = _TYPES[array.dtype.name]
        given = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            request.raw_input_contents.append(array.tobytes())
        else:
            getattr(given.contents, _FIELDS[datatype]).extend(array.ravel().tolist())
    if draw(st.booleans()):
        request.parameters["return_state"].bool_param = draw(st.booleans())
    return request


def is_sound(request: ModelInferRequest) -> bool:
    """Whether its tensors still agree with themselves: the mutations below count on it."""
    if not any(given.name == "inputs" for given in request.inputs):
        return False
    if any(given.datatype not in _ITEM_BYTES or min(given.shape, default=0) < 1 for given in request.inputs):
        return False
    elements = [math.prod(given.shape) for given in request.inputs]
    if not request.raw_input_contents:
        return [len(getattr(given.contents, _FIELDS[given.datatype])) for given in request.inputs] == elements
    needed = [_ITEM_BYTES[given.datatype] * count for given, count in zip(request.inputs, elements)]
    return [len(raw) for raw in request.raw_input_contents] == needed


def _model(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    request.model_name = draw(NAMES)
    return UNKNOWN | INVALID


def _version(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    request.model_version = draw(VERSIONS)
    return UNKNOWN | INVALID


def _datatype(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    given = draw(st.sampled_from(request.inputs))
    other = draw(st.sampled_from([datatype for datatype in _DATATYPES if datatype != given.datatype]))
    given.datatype = other
    return INVALID


def _size(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    given = draw(st.sampled_from(request.inputs))
    axis = draw(st.integers(0, len(given.shape) - 1))
    before = given.shape[axis]
    given.shape[axis] = draw(STRANGE_SIZES.filter(lambda size: size != before))
    return INVALID


def _rank(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    given = draw(st.sampled_from(request.inputs))
    if draw(st.booleans()):
        given.shape.insert(draw(st.integers(0, len(given.shape))), draw(st.sampled_from((0, 1, 2, -1))))
    elif draw(st.booleans()):
        given.shape.extend([1] * draw(st.sampled_from((6, 32, 500))))
    else:
        del given.shape[draw(st.integers(0, len(given.shape) - 1))]
    return INVALID


def _raw_bytes(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    if not request.raw_input_contents:
        return NOTHING
    position = draw(st.integers(0, len(request.raw_input_contents) - 1))
    before = request.raw_input_contents[position]
    request.raw_input_contents[position] = (
        before[: draw(st.integers(0, len(before) - 1))] if draw(st.booleans()) else before + b"\0"
    )
    return INVALID


def _raw_entries(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    if request.raw_input_contents and draw(st.booleans()):
        del request.raw_input_contents[draw(st.integers(0, len(request.raw_input_contents) - 1))]
    else:
        request.raw_input_contents.append(draw(st.binary(max_size=8)))
    return INVALID


def _typed_values(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    """Too many, too few, or of another field; beside raw contents none may be there at all."""
    contents = draw(st.sampled_from(request.inputs)).contents
    field = draw(st.sampled_from(("fp32_contents", "int64_contents", "int_contents", "bool_contents", "bytes_contents")))
    getattr(contents, field).append(b"x" if field == "bytes_contents" else 1)
    return INVALID | OK  # a field that the datatype does not use is not looked at


def _value(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    """NaN, infinities, ids and lengths from nowhere, in the bytes; where it does not count it does not matter."""
    if not request.raw_input_contents:
        return NOTHING
    position = draw(st.integers(0, len(request.inputs) - 1))
    kind = {"FP32": np.float32, "INT64": np.int64, "INT32": np.int32, "BOOL": np.uint8}[request.inputs[position].datatype]
    array = np.frombuffer(request.raw_input_contents[position], kind).copy()
    limits = None if kind is np.float32 else np.iinfo(kind)
    strange = NOT_FINITE if limits is None else (limits.min, limits.max, 0, 2, 100)
    array[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(strange))
    request.raw_input_contents[position] = array.tobytes()
    return INVALID | OK


def _duplicate(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    position = draw(st.integers(0, len(request.inputs) - 1))
    request.inputs.append(request.inputs[position])
    if request.raw_input_contents:
        request.raw_input_contents.append(request.raw_input_contents[position])
    return INVALID


def _missing(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    position = next(number for number, given in enumerate(request.inputs) if given.name == "inputs")
    del request.inputs[position]
    if request.raw_input_contents:
        del request.raw_input_contents[position]
    return INVALID


def _input_name(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    draw(st.sampled_from(request.inputs)).name = draw(
        st.sampled_from(("", "Inputs", "inputs_1", "state.", "state.9.h", "length", "x" * 9999))
    )
    return INVALID


def _both(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    """lengths and a mask."""
    shape = next(given.shape for given in request.inputs if given.name == "inputs")
    raw = bool(request.raw_input_contents)
    present = {given.name for given in request.inputs}
    for name, array in (("lengths", np.ones(shape[0], np.int64)), ("mask", np.ones(shape[:2], np.bool_))):
        if name not in present:
            given = request.inputs.add(name=name, datatype=_TYPES[array.dtype.name], shape=array.shape)
            if raw:
                request.raw_input_contents.append(array.tobytes())
            else:
                getattr(given.contents, _FIELDS[given.datatype]).extend(array.ravel().tolist())
    return INVALID


def _outputs(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    names = draw(st.sampled_from((("labels",), ("outputs", "outputs"), ("outputs", "outputs_7"), ("state.0",), ("",))))
    for name in names:
        request.outputs.add(name=name)
    return INVALID


def _known_parameter(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    choices: tuple[tuple[str, InferParameter, frozenset[str]], ...] = (
        ("implementation", InferParameter(string_param=draw(IMPLEMENTATIONS)), INVALID),
        ("implementation", InferParameter(bool_param=True), INVALID),
        ("implementation", InferParameter(double_param=2.0), INVALID),
        ("return_state", InferParameter(string_param="true"), INVALID),
        ("return_state", InferParameter(), OK),
        ("timeout", InferParameter(int64_param=-1), INVALID),
        ("timeout", InferParameter(int64_param=1), frozenset(("OK", "DEADLINE_EXCEEDED"))),
        ("timeout", InferParameter(int64_param=2**63 - 1), OK),
        ("timeout", InferParameter(uint64_param=2**64 - 1), OK),
        ("timeout", InferParameter(double_param=1e400), INVALID),
        ("priority", InferParameter(int64_param=draw(ANY_INTEGERS)), INVALID | OK),
        ("priority", InferParameter(uint64_param=2**64 - 1), INVALID | OK),
        ("priority", InferParameter(string_param="high"), INVALID),
        ("sequence_id", InferParameter(int64_param=draw(ANY_INTEGERS)), PERMITTED),
        ("sequence_id", InferParameter(string_param=draw(st.text(max_size=9))), PERMITTED),
        ("sequence_start", InferParameter(bool_param=True), PERMITTED),
        ("sequence_end", InferParameter(bool_param=False), OK),
    )
    name, parameter, codes = draw(st.sampled_from(choices))
    request.parameters[name].CopyFrom(parameter)
    return codes


def _unknown_parameter(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    name = draw(st.sampled_from(("", "headers", "triton_enable_empty_final_response", "binary_data_output", "\n" * 500)))
    request.parameters[name].CopyFrom(
        draw(st.sampled_from((InferParameter(), InferParameter(bool_param=True), InferParameter(double_param=0.5))))
    )
    return OK


def _tensor_parameter(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    if draw(st.booleans()):
        given = draw(st.sampled_from(request.inputs))
        given.parameters["shared_memory_region"].string_param = "region"
        return NOT_OFFERED
    output = request.outputs.add(name="outputs")
    output.parameters["classification"].int64_param = draw(ANY_INTEGERS)
    return NOT_OFFERED


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _model,
    _version,
    _datatype,
    _size,
    _rank,
    _raw_bytes,
    _raw_entries,
    _typed_values,
    _value,
    _duplicate,
    _missing,
    _input_name,
    _both,
    _outputs,
    _known_parameter,
    _unknown_parameter,
    _tensor_parameter,
)
