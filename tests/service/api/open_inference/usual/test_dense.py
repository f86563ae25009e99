"""The short way for usual requests and the general way give the same, request by request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service.api.door import CheckedRequest
from cellserve.service.api.open_inference.inference import check_any
from cellserve.service.api.open_inference.parameters import NO_PARAMETERS
from cellserve.service.api.open_inference.usual import dense
from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.api.requests.signature import Signature
from cellserve.service.errors import ServiceError
from cellserve.service.pb import open_inference_pb2 as pb
from tests.examples import examples
from tests.fakes import FakeNetwork

LIMITS = Limits(rows=3, steps=5, reply_bytes=100)


class Fused:
    """A version."""

    implementations: Mapping[str, str | None] = {"fused": None}
    default_implementation = "fused"


OFFERED = Fused()


def signature_of(features: int) -> Signature:
    network = FakeNetwork(features)
    return Signature.of(network.spec, network.shapes, network.state_layout)


SIGNATURE = signature_of(2)


@st.composite
def requests(draw: st.DrawFn) -> pb.ModelInferRequest:
    """Most are of the usual kind but for one or two things."""
    shape = draw(st.lists(st.integers(-1, 6), max_size=4) | st.tuples(st.integers(1, 4), st.integers(1, 6), st.just(2)))
    elements = max(0, int(np.prod(shape, dtype=np.int64)))
    values = st.sampled_from([0.5, -1.0, np.nan, np.inf]) if draw(st.booleans()) else st.just(0.25)
    data = np.array(draw(st.lists(values, min_size=elements, max_size=elements)), "<f4").tobytes()
    tensor = pb.ModelInferRequest.InferInputTensor(
        name=draw(st.sampled_from(["inputs"] * 5 + ["lengths", "other"])),
        datatype=draw(st.sampled_from(["FP32"] * 5 + ["FP64", "INT64", ""])),
        shape=shape,
    )
    if draw(st.integers(0, 9)) == 0:
        tensor.contents.fp32_contents.extend(draw(st.lists(st.just(1.0), max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        tensor.parameters[draw(st.sampled_from(["shared_memory_region", "anything"]))].bool_param = True
    raw = [data + draw(st.sampled_from([b""] * 5 + [b"\0"]))] * draw(st.sampled_from([1] * 5 + [0, 2]))
    request = pb.ModelInferRequest(inputs=[tensor] * draw(st.sampled_from([1] * 5 + [0, 2])), raw_input_contents=raw)
    if draw(st.integers(0, 9)) == 0:
        request.outputs.add(name=draw(st.sampled_from(["outputs", "state.0.h", "none"])))
    return request


@settings(max_examples=examples(400), deadline=None)
@given(requests(), st.none() | st.floats(1.0, 2.0))
def test_both_ways_give_the_same(request: pb.ModelInferRequest, ends_seconds: float | None) -> None:
    general = outcome(lambda: check_any(request, NO_PARAMETERS, ends_seconds, OFFERED, SIGNATURE, LIMITS))
    short = outcome(lambda: dense.check(dense.tensor_in(request), SIGNATURE, LIMITS, ends_seconds))
    assert short is None or short == general


def test_a_usual_request_takes_the_short_way() -> None:
    request = usual(rows=2, steps=3)
    checked = dense.check(dense.tensor_in(request), SIGNATURE, LIMITS, None)
    assert checked is not None
    assert [row.shape for row in checked.rows.inputs[0]] == [(3, 2), (3, 2)]


def test_a_reply_that_is_too_large_is_refused_in_the_same_words() -> None:
    request = usual(rows=3, steps=5)
    small = Limits(rows=3, steps=5, reply_bytes=8)
    general = outcome(lambda: check_any(request, NO_PARAMETERS, None, OFFERED, SIGNATURE, small))
    assert isinstance(general, str)
    assert outcome(lambda: dense.check(dense.tensor_in(request), SIGNATURE, small, None)) == general


def usual(rows: int, steps: int) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="inputs", datatype="FP32", shape=(rows, steps, 2))
    return pb.ModelInferRequest(inputs=[tensor], raw_input_contents=[np.ones((rows, steps, 2), "<f4").tobytes()])


def outcome(check: Any) -> Any:
    """What it gives, as something that can be compared; an error's words."""
    try:
        checked: CheckedRequest | None = check()
    except ServiceError as error:
        return f"{error.reason} {error.field}: {error}"
    if checked is None:
        return None
    rows = checked.rows
    inputs = [[(row.dtype, row.tolist()) for row in column] for column in rows.inputs]
    return (inputs, rows.masks, rows.states, list(rows.lengths), rows.time_steps, checked.options, checked.wanted)
