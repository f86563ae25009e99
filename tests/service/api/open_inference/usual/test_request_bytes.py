"""Requests read from their bytes are what protobuf reads from them, byte by byte."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from cellserve.service.api.open_inference.usual import request_bytes
from cellserve.service.api.open_inference.usual.dense import tensor_in
from cellserve.service.api.open_inference.usual.request_bytes import DenseRequest, RequestReader
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.open_inference.usual.test_dense import requests, usual

READER = RequestReader()  # of all examples, as of all clients


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Parts of requests in any order, mostly the usual one, and sometimes damaged."""
    request = draw(requests())
    request.model_name = draw(st.sampled_from(["digits", "", "ü" * 100]))
    request.model_version = draw(st.sampled_from(["", "3", "stable"]))
    request.id = draw(st.sampled_from(["", "r1", "ü", "x" * 130, "x" * 20_000]))
    if draw(st.integers(0, 9)) == 0:
        request.parameters["priority"].int64_param = 1
    written = request.SerializeToString()
    if draw(st.integers(0, 4)) == 0:
        others = draw(st.lists(requests(), min_size=1, max_size=2))
        written = b"".join(draw(st.permutations([written, *(other.SerializeToString() for other in others)])))
    match draw(st.sampled_from(["whole"] * 6 + ["cut", "changed", "more"])):
        case "cut":
            return written[: draw(st.integers(0, len(written)))]
        case "changed" if written:
            at = draw(st.integers(0, min(60, len(written) - 1)))
            return written[:at] + bytes((draw(st.integers(0, 255)),)) + written[at + 1 :]
        case "more":
            return written + draw(st.binary(max_size=3))
    return written


@settings(max_examples=600, deadline=None)
@given(messages())
def test_what_is_read_is_what_protobuf_reads(message: bytes) -> None:
    try:
        expected = pb.ModelInferRequest.FromString(message)
    except DecodeError:
        with pytest.raises(DecodeError):
            READER.read(message)
        return
    read = READER.read(message)
    if isinstance(read, DenseRequest):
        assert read.parsed() == expected
        assert read.tensor == tensor_in(expected)
        assert (read.model_name, read.model_version, read.id) == (expected.model_name, expected.model_version, expected.id)
    else:
        assert read == expected


@pytest.mark.parametrize("request_id", ["", "r1", "ü", "x" * 130])
@pytest.mark.parametrize("steps", [1, 5, 40, 4000])
def test_usual_requests_are_read_as_such(request_id: str, steps: int) -> None:
    request = usual(rows=1, steps=steps)
    request.model_name, request.id = "digits", request_id
    read = RequestReader().read(request.SerializeToString())
    assert isinstance(read, DenseRequest)
    assert read.id == request_id
    assert np.frombuffer(read.tensor.data, "<f4").tolist() == [1.0] * 2 * steps


@pytest.mark.parametrize(
    "message", [b"\x1a\x01\xff", b"\x0a\x01\xff\x3a\x00", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3a\x05a"]
)
def test_what_is_no_request_is_refused_as_by_protobuf(message: bytes) -> None:
    with pytest.raises(DecodeError):
        RequestReader().read(message)


def test_no_more_is_remembered_than_a_few_thousand_short_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bytes, "_MOST_HEADS", 3)
    reader = RequestReader()
    for steps in (1, 2, 3, 4, 5, 1):
        assert isinstance(reader.read(usual(rows=1, steps=steps).SerializeToString()), DenseRequest)
        assert len(reader._heads) <= 3
    request = usual(rows=1, steps=1)
    request.model_name = "x" * 600
    assert reader.read(request.SerializeToString()) == request
    assert len(reader._heads) == 3
