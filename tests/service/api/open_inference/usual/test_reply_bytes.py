"""Replies written as bytes are the messages that they stand for."""

from __future__ import annotations

import numpy as np
from google.protobuf.internal import encoder
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.open_inference import replies
from cellserve.service.api.open_inference.usual import reply_bytes
from cellserve.service.api.requests.outputs import WantedOutputs
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.engine.batch import Delivery
from cellserve.service.pb import open_inference_pb2 as pb
from tests.service.api.open_inference.usual.test_dense import SIGNATURE


@given(
    request_id=st.sampled_from(["", "r1", "ü" * 100]),
    version=st.tuples(st.sampled_from(["digits", "ü"]), st.integers(1, 10**12)),
    steps=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    implementation=st.sampled_from(["packed", "0", "onnxruntime"]),
    iterations=st.integers(1, 300),
    queue_seconds=st.floats(-1e-3, 1e6),
    names=st.sampled_from([("outputs",), ("outputs", "outputs_1"), ("outputs_1", "state.0.h"), ()]),
)
def test_parsed_it_is_the_message(
    request_id: str,
    version: tuple[str, int],
    steps: list[int],
    implementation: str,
    iterations: int,
    queue_seconds: float,
    names: tuple[str, ...],
) -> None:
    done = [
        Delivery(
            1,
            (np.full((count, 2), 0.5, np.float32), np.array([1.0, -2.0], np.float32)),
            np.arange(SIGNATURE.state_width, dtype=np.float32),
            None,
            implementation,
            count,
            iterations,
            queue_seconds,
            1e-5 * count,
        )
        for count in steps
    ]
    rows = RowInputs(([np.zeros((count, 2), np.float32) for count in steps],), None, None, steps, max(steps))
    asked = (request_id, version, SIGNATURE, WantedOutputs(names), rows, done)
    assert pb.ModelInferResponse.FromString(reply_bytes.infer_response(*asked)) == replies.infer_response(*asked)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    written: list[bytes] = []
    encoder._EncodeSignedVarint(written.append, value)
    assert reply_bytes.number(value) == b"".join(written)
