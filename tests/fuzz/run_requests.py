"""cellserve.v1 Run requests that are right, and the ways to make one of them wrong. Mutations as in infer_requests."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb.cellserve_pb2 import BOOL, FLOAT32, INT64, RunRequest, Tensor
from tests.fuzz.arrays import MOST_STEPS, batches
from tests.fuzz.infer_requests import INVALID, NOTHING, OK, UNKNOWN
from tests.fuzz.targets import Target
from tests.fuzz.values import ANY_INTEGERS, IMPLEMENTATIONS, NAMES, NOT_FINITE, STRANGE_SIZES, VERSIONS

Mutation = Callable[[st.DrawFn, RunRequest], frozenset[str]]

_ITEM_BYTES: Final = {FLOAT32: 4, INT64: 8, BOOL: 1}
_TYPES: Final = {"float32": FLOAT32, "int64": INT64, "bool": BOOL}


def _tensor(array: np.ndarray) -> Tensor:
    return Tensor(dtype=_TYPES[array.dtype.name], shape=array.shape, data=array.tobytes())


@st.composite
def good(draw: st.DrawFn, target: Target) -> RunRequest:
    batch = draw(batches(target))
    rows, steps = batch.values.shape[:2]
    lengths = [steps] * rows if batch.lengths is None else batch.lengths.tolist()
    values = np.concatenate([row[:length] for row, length in zip(batch.values, lengths)])
    request = RunRequest(model=target.model, lengths=lengths, inputs=_tensor(values), return_state=draw(st.booleans()))
    if batch.mask is not None:
        request.mask.CopyFrom(_tensor(batch.mask.ravel()))
    for key, state in batch.states.items():
        request.state[key].CopyFrom(_tensor(state))
    return request


def is_sound(request: RunRequest) -> bool:
    """Whether its tensors still agree with themselves: the mutations below count on it."""
    tensors = [request.inputs, *request.state.values(), *((request.mask,) if request.HasField("mask") else ())]
    return bool(request.lengths) and all(
        tensor.dtype in _ITEM_BYTES
        and min(tensor.shape, default=0) > 0
        and len(tensor.data) == _ITEM_BYTES[tensor.dtype] * math.prod(tensor.shape)
        for tensor in tensors
    )


def _model(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.model = draw(NAMES)
    return UNKNOWN | INVALID


def _version(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.version = draw(VERSIONS)
    return UNKNOWN | INVALID


def _implementation(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.implementation = draw(IMPLEMENTATIONS)
    return INVALID


def _priority(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.priority = draw(ANY_INTEGERS)
    return OK


def _length(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    row = draw(st.integers(0, len(request.lengths) - 1))
    before = request.lengths[row]
    request.lengths[row] = draw((STRANGE_SIZES | st.integers(-1, MOST_STEPS + 1)).filter(lambda length: length != before))
    return INVALID


def _lengths(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    if draw(st.booleans()):
        del request.lengths[:]
    else:
        request.lengths.extend(draw(st.sampled_from(((1,), (2**63 - 1,), (1,) * 5000))))
    return INVALID


def _tensor_of(draw: st.DrawFn, request: RunRequest) -> Tensor:
    tensors = [request.inputs, *request.state.values()]
    if request.HasField("mask"):
        tensors.append(request.mask)
    return draw(st.sampled_from(tensors))


def _dtype(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    tensor = _tensor_of(draw, request)
    before = tensor.dtype
    tensor.dtype = draw(st.sampled_from((*range(6), 6, 99, -1)).filter(lambda dtype: dtype != before))
    return INVALID


def _shape(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    tensor = _tensor_of(draw, request)
    if draw(st.booleans()):
        tensor.shape.insert(draw(st.integers(0, len(tensor.shape))), draw(st.sampled_from((0, 1, -1))))
    else:
        axis = draw(st.integers(0, len(tensor.shape) - 1))
        before = tensor.shape[axis]
        tensor.shape[axis] = draw(STRANGE_SIZES.filter(lambda size: size != before))
    return INVALID


def _data(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    tensor = _tensor_of(draw, request)
    tensor.data = tensor.data[: draw(st.integers(0, len(tensor.data) - 1))] if draw(st.booleans()) else tensor.data + b"\0"
    return INVALID


def _value(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    tensor = request.inputs
    kind = np.float32 if tensor.dtype == FLOAT32 else np.int64
    array = np.frombuffer(tensor.data, kind).copy()
    strange = NOT_FINITE if kind is np.float32 else (-1, 2**62, -(2**63), 10**6)
    array[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(strange))
    tensor.data = array.tobytes()
    return INVALID | OK  # a masked step does not count


def _mask(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    if not request.HasField("mask"):
        return NOTHING
    data = bytearray(request.mask.data)
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(2, 255))
    request.mask.data = bytes(data)
    return INVALID


def _state(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    key = draw(st.sampled_from(("", "9.h", "0.x", "0", "state.0.h", "h" * 5000)))
    request.state[key].CopyFrom(Tensor(shape=[len(request.lengths), 1], data=bytes(4 * len(request.lengths))))
    return INVALID


def _more_inputs(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    for _ in range(draw(st.sampled_from((1, 100)))):
        request.more_inputs.append(request.inputs)
    return INVALID


def _no_inputs(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.ClearField("inputs")
    return INVALID


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _model,
    _version,
    _implementation,
    _priority,
    _length,
    _lengths,
    _dtype,
    _shape,
    _data,
    _value,
    _mask,
    _state,
    _more_inputs,
    _no_inputs,
)
