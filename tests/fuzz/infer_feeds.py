"""ModelInfer requests that begin and feed a live sequence, and the ways to make a feed wrong. As in infer_requests."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import strategies as st

from cellserve.service.pb.open_inference_pb2 import InferParameter, ModelInferRequest
from tests.fuzz import infer_requests
from tests.fuzz.infer_requests import INVALID, OK, UNKNOWN, Mutation
from tests.fuzz.sequence_requests import MISPLACED, NAME
from tests.fuzz.targets import Target
from tests.fuzz.values import ANY_INTEGERS


@st.composite
def start(draw: st.DrawFn, target: Target) -> ModelInferRequest:
    request: ModelInferRequest = draw(infer_requests.good(target, 1))
    request.parameters["sequence_id"].string_param = NAME
    request.parameters["sequence_start"].bool_param = True
    return request


@st.composite
def feed(draw: st.DrawFn, target: Target, stands: int) -> ModelInferRequest:
    """stands: time steps that the sequence has consumed."""
    request: ModelInferRequest = draw(infer_requests.good(target, 1, states=False))
    request.parameters["sequence_id"].string_param = NAME
    if draw(st.booleans()):
        request.parameters["position"].int64_param = stands
    return request


def steps(request: ModelInferRequest) -> int:
    """That it feeds."""
    place = {given.name: number for number, given in enumerate(request.inputs)}
    if "lengths" not in place:
        return int(request.inputs[place["inputs"]].shape[1])
    given = request.inputs[place["lengths"]]
    if request.raw_input_contents:
        raw = request.raw_input_contents[place["lengths"]]
        return int(np.frombuffer(raw, np.int32 if given.datatype == "INT32" else np.int64)[0])
    return int((given.contents.int_contents or given.contents.int64_contents)[0])


def _sequence_parameter(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    """Of another type, or of another sequence, life or moment."""
    wrong: tuple[tuple[str, InferParameter, frozenset[str]], ...] = (
        ("sequence_id", InferParameter(bool_param=True), INVALID),
        ("sequence_id", InferParameter(uint64_param=5), INVALID),
        ("sequence_id", InferParameter(double_param=5.0), INVALID),
        ("sequence_id", InferParameter(string_param="x" * 257), INVALID | UNKNOWN),
        ("sequence_id", InferParameter(string_param=NAME[:-1]), UNKNOWN),
        ("sequence_id", InferParameter(int64_param=-(2**63)), UNKNOWN),
        ("sequence_start", InferParameter(string_param="true"), INVALID),
        ("sequence_start", InferParameter(int64_param=1), INVALID),
        ("sequence_end", InferParameter(int64_param=1), INVALID),
        (
            "position",
            InferParameter(int64_param=draw(ANY_INTEGERS.filter(lambda number: not 0 <= number < 99))),
            MISPLACED | INVALID,
        ),
        ("position", InferParameter(string_param="1"), INVALID),
        ("position", InferParameter(uint64_param=2**64 - 1), INVALID),
        ("epoch", InferParameter(string_param=draw(st.text(min_size=1, max_size=9))), UNKNOWN),
        ("epoch", InferParameter(int64_param=0), INVALID),
    )
    name, parameter, codes = draw(st.sampled_from(wrong))
    request.parameters[name].CopyFrom(parameter)
    return codes


def _nobodys_end(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    request.parameters.pop("sequence_id", None)
    request.parameters["sequence_end"].bool_param = True
    return INVALID


def _second_row(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    for number, given in enumerate(request.inputs):
        given.shape[0] = 2
        if request.raw_input_contents:
            request.raw_input_contents[number] *= 2
        else:
            for field, values in given.contents.ListFields():
                getattr(given.contents, field.name).extend(list(values))
    return INVALID


def _version(draw: st.DrawFn, request: ModelInferRequest) -> frozenset[str]:
    """Counts at the start only."""
    request.model_version = "99"
    return OK


_OWN: Final[tuple[Mutation, ...]] = (_sequence_parameter, _nobodys_end, _second_row, _version)
MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(mutate for mutate in infer_requests.MUTATIONS if mutate.__name__ != "_version"),
    *_OWN,
    *_OWN,
    _sequence_parameter,
)
