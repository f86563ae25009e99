"""cellserve.v1 Run requests that are right, and the ways to make one of them wrong. Mutations as in infer_requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb.cellserve_pb2 import RunRequest, Tensor
from tests.fuzz.arrays import MOST_STEPS, batches
from tests.fuzz.infer_requests import INVALID, UNKNOWN
from tests.fuzz.targets import Target
from tests.fuzz.tensor_mutations import (
    are_sound,
    data,
    dtype,
    implementation,
    mask,
    more_inputs,
    no_inputs,
    priority,
    shape,
    tensor,
    value,
)
from tests.fuzz.values import NAMES, STRANGE_SIZES, VERSIONS

Mutation = Callable[[st.DrawFn, RunRequest], frozenset[str]]


@st.composite
def good(draw: st.DrawFn, target: Target) -> RunRequest:
    batch = draw(batches(target))
    rows, steps = batch.values.shape[:2]
    lengths = [steps] * rows if batch.lengths is None else batch.lengths.tolist()
    values = np.concatenate([row[:length] for row, length in zip(batch.values, lengths)])
    request = RunRequest(model=target.model, lengths=lengths, inputs=tensor(values), return_state=draw(st.booleans()))
    if batch.mask is not None:
        request.mask.CopyFrom(tensor(batch.mask.ravel()))
    for key, state in batch.states.items():
        request.state[key].CopyFrom(tensor(state))
    return request


def is_sound(request: RunRequest) -> bool:
    """Whether its tensors still agree with themselves: the mutations below count on it."""
    return bool(request.lengths) and are_sound(request)


def _model(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.model = draw(NAMES)
    return UNKNOWN | INVALID


def _version(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    request.version = draw(VERSIONS)
    return UNKNOWN | INVALID


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


def _state(draw: st.DrawFn, request: RunRequest) -> frozenset[str]:
    key = draw(st.sampled_from(("", "9.h", "0.x", "0", "state.0.h", "h" * 5000)))
    request.state[key].CopyFrom(Tensor(shape=[len(request.lengths), 1], data=bytes(4 * len(request.lengths))))
    return INVALID


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _model,
    _version,
    implementation,
    priority,
    _length,
    _lengths,
    dtype,
    shape,
    data,
    value,
    mask,
    _state,
    more_inputs,
    no_inputs,
)
