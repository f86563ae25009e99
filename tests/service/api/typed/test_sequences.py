"""cellserve.v1.Sequences.Run over a real server: ragged in, ragged out."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from cellserve.service.pb import cellserve_pb2 as pb
from cellserve.service.registry.model_settings import ModelSettings, RequestLimits
from tests.fakes import FakeNetwork, running_sum
from tests.service.api.conftest import Harness, infer_request, network_of
from tests.service.api.test_bad_requests import details_of, refusal

LENGTHS = [3, 1, 4]
ROWS = [np.random.default_rng(length).integers(-9, 9, (length, 2)).astype(np.float32) for length in LENGTHS]
DTYPES = {"float32": pb.FLOAT32, "float16": pb.FLOAT16, "int32": pb.INT32, "int64": pb.INT64, "bool": pb.BOOL}


def tensor(array: np.ndarray) -> pb.Tensor:
    return pb.Tensor(dtype=DTYPES[array.dtype.name], shape=array.shape, data=array.tobytes())


def run_request(**fields: object) -> pb.RunRequest:
    defaults = {"model": "sums", "lengths": LENGTHS, "inputs": tensor(np.concatenate(ROWS))}
    return pb.RunRequest(**(defaults | fields))


def array(message: pb.Tensor) -> np.ndarray:
    assert message.dtype == pb.FLOAT32
    return np.frombuffer(message.data, np.float32).reshape(message.shape)


async def test_rows_come_back_one_after_the_other_without_padding(harness: Harness) -> None:
    reply = await harness.sequences.Run(run_request())
    assert (reply.model, reply.version, reply.implementation, list(reply.lengths)) == ("sums", "1", "2", LENGTHS)
    sums, ends = reply.outputs
    assert (sums.name, sums.per_step, ends.name, ends.per_step) == ("outputs", True, "outputs_1", False)
    np.testing.assert_array_equal(array(sums.tensor), np.concatenate([running_sum(row)[0] for row in ROWS]))
    np.testing.assert_array_equal(array(ends.tensor), [running_sum(row)[1] for row in ROWS])
    assert reply.iterations >= 1
    assert not reply.state


async def test_states_and_masks_go_in_and_states_come_out(harness: Harness) -> None:
    state = np.arange(6, dtype=np.float32).reshape(3, 2)
    mask = np.arange(8) % 3 != 0
    reply = await harness.sequences.Run(run_request(state={"0.h": tensor(state)}, mask=tensor(mask), return_state=True))
    masks = np.split(mask, np.cumsum(LENGTHS)[:-1])
    expected = [running_sum(row, valid, start)[1] for row, valid, start in zip(ROWS, masks, state)]
    np.testing.assert_array_equal(array(reply.state["0.h"]), expected)


@pytest.mark.parametrize("form", ["float16", "bfloat16"])
async def test_short_floats_are_converted_at_the_door(harness: Harness, form: str) -> None:
    joined = np.concatenate(ROWS)
    if form == "float16":
        inputs = tensor(joined.astype(np.float16))
    else:
        inputs = pb.Tensor(dtype=pb.BFLOAT16, shape=joined.shape, data=(joined.view(np.uint32) >> 16).astype("<u2").tobytes())
    reply = await harness.sequences.Run(run_request(inputs=inputs))
    np.testing.assert_array_equal(array(reply.outputs[1].tensor), [running_sum(row)[1] for row in ROWS])


async def test_ids_may_be_of_either_width(harness: Harness) -> None:
    embed = {"kind": "embedding", "name": "embed", "inputs": ["x"], "vocabulary": 9, "units": 2}
    rnn = {"kind": "simple_rnn", "name": "rnn", "inputs": ["embed"], "units": 2}
    words, _ = network_of({"inputs": [{"name": "x", "kind": "ids"}], "layers": [embed, rnn], "outputs": ["rnn"]})
    harness.add("words", words)
    ids = np.array([1, 8, 0, 2, 3, 4, 5, 6])
    wide = await harness.sequences.Run(run_request(model="words", inputs=tensor(ids)))
    narrow = await harness.sequences.Run(run_request(model="words", inputs=tensor(ids.astype(np.int32))))
    assert wide.outputs == narrow.outputs


BAD = {
    "no lengths": ({"lengths": []}, "lengths", "batch is empty"),
    "length -1": ({"lengths": [9, -1]}, "lengths", "row 1 has length -1"),
    "more lengths": ({"more_lengths": [pb.Lengths(steps=[3, 5])]}, "more_lengths", "more_lengths for 1 inputs"),
    "length huge": ({"lengths": [2**62, 2**62]}, "lengths", "at most 2000"),
    "sum of lengths": ({"lengths": [3, 1]}, "inputs", "expected [4, 2]"),
    "width": ({"inputs": tensor(np.ones((8, 3), np.float32))}, "inputs", "[8, 3], expected [8, 2]"),
    "datatype": ({"inputs": tensor(np.ones((8, 2), np.int32))}, "inputs", "'INT32', expected FP32"),
    "unknown datatype": ({"inputs": pb.Tensor(dtype=99)}, "inputs", "number 99"),
    "bytes": ({"inputs": pb.Tensor(shape=[8, 2], data=b"123")}, "inputs", "3 bytes"),
    "too many inputs": ({"more_inputs": [pb.Tensor()]}, "more_inputs", "2 inputs, but the model takes 1"),
    "mask's shape": ({"mask": tensor(np.ones(7, bool))}, "mask", "expected [8]"),
    "unknown state": ({"state": {"1.c": pb.Tensor()}}, "state.1.c", "no state '1.c'; its states are: 0.h"),
    "state's shape": ({"state": {"0.h": tensor(np.ones((1, 2), np.float32))}}, "state.0.h", "expected [3, 2]"),
    "NaN": ({"inputs": tensor(np.full((8, 2), np.nan, np.float32))}, "inputs", "nan at [0, 0]"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_batch_is_told_what_is_wrong(harness: Harness, name: str) -> None:
    fields, field, piece = BAD[name]
    error = await refusal(harness.sequences.Run(run_request(**fields)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(error) == ("INVALID_INPUT", [field])
    assert piece in (error.details() or "")
    assert len((await harness.sequences.Run(run_request())).outputs) == 2


async def test_a_request_without_inputs_is_told_so(harness: Harness) -> None:
    error = await refusal(harness.sequences.Run(pb.RunRequest(model="sums", lengths=[1])))
    assert details_of(error) == ("INVALID_INPUT", ["inputs"])


async def test_a_forced_implementation_runs_or_is_refused_with_the_reason(harness: Harness) -> None:
    harness.add("other", FakeNetwork(2))
    assert (await harness.sequences.Run(run_request(implementation="0"))).implementation == "0"
    error = await refusal(harness.sequences.Run(run_request(implementation="fused")))
    assert details_of(error) == ("IMPLEMENTATION_UNSUPPORTED", ["implementation"])
    assert [fact.code for fact in harness.observer.requests] == ["OK", "INVALID_ARGUMENT"]


async def test_a_models_own_limits_are_tighter_than_the_servers_and_never_wider(harness: Harness) -> None:
    harness.catalog.settings = ModelSettings(limits=RequestLimits(max_rows_per_request=2, max_steps_per_sequence=10**6))
    for call in (
        harness.sequences.Run(run_request()),
        harness.infer(infer_request("sums", inputs=np.ones((3, 2, 2), np.float32))),
        harness.infer(infer_request("sums", inputs=np.ones((3, 2, 2)))),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="takes at most 2 in one request"):
            await call
    with pytest.raises(grpc.aio.AioRpcError, match="takes at most 2000"):
        await harness.infer(infer_request("sums", inputs=np.ones((1, 2001, 2), np.float32)))
    harness.catalog.settings = ModelSettings()
    assert (await harness.infer(infer_request("sums", inputs=np.ones((3, 2, 2), np.float32)))).model_version == "1"
