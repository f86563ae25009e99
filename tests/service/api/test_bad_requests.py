"""What is wrong with a request is told as status, reason, field and sentence; the server and the neighbours do not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.pb import open_inference_pb2 as pb
from tests.examples import examples
from tests.fakes import POISON, FakeNetwork, running_sum
from tests.service.api.conftest import MESSAGE_BYTES, Harness, infer_request, network_of, outputs_of

Code = grpc.StatusCode
GOOD = np.ones((2, 3, 2), np.float32)
IDS = np.zeros((2, 3), np.int64)


def good(**more: np.ndarray) -> pb.ModelInferRequest:
    return infer_request("sums", **({"inputs": GOOD} | more))


def changed(
    change: Callable[[pb.ModelInferRequest], object], request: pb.ModelInferRequest | None = None
) -> pb.ModelInferRequest:
    request = good() if request is None else request
    change(request)
    return request


def typed_in(datatype: str, **contents: list[float]) -> pb.ModelInferRequest:
    """One row of one step of two features, in fields of `contents`."""
    given = pb.ModelInferRequest.InferInputTensor(name="inputs", datatype=datatype, shape=[1, 1, 2])
    given.contents.CopyFrom(pb.InferTensorContents(**contents))
    return pb.ModelInferRequest(model_name="sums", inputs=[given])


def with_value(value: float, place: tuple[int, int, int] = (1, 2, 0)) -> np.ndarray:
    inputs = GOOD.copy()
    inputs[place] = value
    return inputs


def twice(request: pb.ModelInferRequest) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def parameter(name: str, **value: object) -> Callable[[pb.ModelInferRequest], None]:
    def change(request: pb.ModelInferRequest) -> None:
        request.parameters[name].CopyFrom(pb.InferParameter(**value))

    return change


def asking(*names: str, **parameters: int) -> Callable[[pb.ModelInferRequest], None]:
    def change(request: pb.ModelInferRequest) -> None:
        for name in names:
            output = request.outputs.add(name=name)
            for parameter, value in parameters.items():
                output.parameters[parameter].int64_param = value

    return change


def in_shared_memory(request: pb.ModelInferRequest) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"


def wide() -> np.ndarray:
    return np.ones((2, 3, 5), np.float32)


@dataclass(frozen=True)
class Bad:
    """A request, and what must be said of it: the reason, the field, and pieces of the sentence."""

    request: pb.ModelInferRequest
    field: str
    pieces: tuple[str, ...]
    reason: str = "INVALID_INPUT"
    code: grpc.StatusCode = Code.INVALID_ARGUMENT


BAD = {
    "unknown model": Bad(infer_request("nobody", inputs=GOOD), "model", ("nobody",), "MODEL_UNKNOWN", Code.NOT_FOUND),
    "unknown version": Bad(
        infer_request("sums", "7", inputs=GOOD), "version", ("no version 7",), "VERSION_UNKNOWN", Code.NOT_FOUND
    ),
    "rank": Bad(infer_request("sums", inputs=GOOD[0]), "inputs.inputs", ("[3, 2]", "[batch, time, 2]")),
    "width": Bad(infer_request("sums", inputs=wide()), "inputs.inputs", ("[2, 3, 5]", "[batch, time, 2]")),
    "datatype": Bad(infer_request("sums", inputs=GOOD.astype(np.uint8)), "inputs.inputs", ("'UINT8'", "expected FP32")),
    "beyond float32": Bad(
        infer_request("sums", inputs=GOOD.astype(np.float64) * 1e300), "inputs.inputs", ("inf at [0, 0, 0]", "finite, in FP32")
    ),
    "typed half": Bad(
        pb.ModelInferRequest(
            model_name="sums",
            inputs=[
                pb.ModelInferRequest.InferInputTensor(
                    name="inputs", datatype="FP16", shape=[1, 1, 2], contents=pb.InferTensorContents(fp32_contents=[1.0, 2.0])
                )
            ],
        ),
        "inputs.inputs",
        ("'inputs' is FP16", "raw_input_contents"),
    ),
    "unknown datatype": Bad(
        changed(lambda request: setattr(request.inputs[0], "datatype", "COMPLEX")), "inputs.inputs", ("'COMPLEX'", "FP32")
    ),
    "too few bytes": Bad(
        changed(lambda request: request.raw_input_contents.__setitem__(0, b"1234")), "inputs.inputs", ("4 bytes", "needs 48")
    ),
    "typed count": Bad(
        typed_in("FP32", fp32_contents=[1.0]),
        "inputs.inputs",
        ("1 typed values", "needs 2"),
    ),
    "typed values in the field of another type": Bad(
        typed_in("FP32", fp64_contents=[1.0, 2.0]),
        "inputs.inputs",
        ("values in fp64_contents", "FP32 belong into fp32_contents"),
    ),
    "typed values in two fields": Bad(
        typed_in("FP32", fp32_contents=[1.0, 2.0], fp64_contents=[3.0, 4.0]),
        "inputs.inputs",
        ("values in fp32_contents and fp64_contents", "none beside"),
    ),
    "dimensions beyond any array": Bad(
        changed(lambda request: request.inputs[0].shape.__setitem__(slice(None), (0, 2**62, 2**62))),
        "inputs.inputs",
        ("larger than any array",),
    ),
    "negative dimension": Bad(
        changed(lambda request: request.inputs[0].shape.__setitem__(0, -2)), "inputs.inputs", ("[-2, 3, 2]", "negative")
    ),
    "no inputs": Bad(pb.ModelInferRequest(model_name="sums"), "inputs.inputs", ("'inputs' [batch, time, 2] is missing",)),
    "unknown input": Bad(good(sizes=GOOD), "inputs.sizes", ("no input 'sizes'", "inputs", "lengths, mask, state.0.h")),
    "input twice": Bad(changed(twice), "inputs.inputs", ("'inputs' is given twice",)),
    "unknown output": Bad(changed(asking("logits")), "outputs.logits", ("no output 'logits'", "outputs, outputs_1")),
    "output twice": Bad(changed(asking("outputs", "outputs")), "outputs.outputs", ("twice",)),
    "raw and typed": Bad(
        changed(lambda request: request.inputs[0].contents.fp32_contents.append(1.0)), "inputs.inputs", ("typed contents beside",)
    ),
    "raw entries": Bad(
        changed(lambda request: request.raw_input_contents.append(b"")), "raw_input_contents", ("1 inputs", "2 entries")
    ),
    "lengths and mask": Bad(good(lengths=np.array([1, 1]), mask=np.ones((2, 3), bool)), "inputs.mask", ("both lengths and",)),
    "length -1": Bad(good(lengths=np.array([3, -1])), "inputs.lengths", ("row 1 has length -1", "0 to 3")),
    "length 4": Bad(good(lengths=np.array([4, 1])), "inputs.lengths", ("row 0 has length 4", "0 to 3")),
    "lengths' shape": Bad(good(lengths=np.array([3])), "inputs.lengths", ("[1]", "expected [2]")),
    "lengths' datatype": Bad(good(lengths=np.ones(2, np.float32)), "inputs.lengths", ("'FP32'", "INT64 or INT32")),
    "mask's shape": Bad(good(mask=np.ones((2, 4), bool)), "inputs.mask", ("[2, 4]", "expected [2, 3]")),
    "mask's bytes": Bad(
        changed(lambda request: request.raw_input_contents.__setitem__(1, b"\x07" * 6), good(mask=np.ones((2, 3), bool))),
        "inputs.mask",
        ("BOOL", "holds 7"),
    ),
    "NaN": Bad(infer_request("sums", inputs=with_value(np.nan)), "inputs.inputs", ("nan at [1, 2, 0]", "finite")),
    "infinity": Bad(infer_request("sums", inputs=with_value(-np.inf)), "inputs.inputs", ("-inf at [1, 2, 0]", "finite")),
    "NaN in a state": Bad(good(state_0_h=np.full((2, 2), np.nan, np.float32)), "inputs.state.0.h", ("nan at [0, 0]",)),
    "state's shape": Bad(good(state_0_h=np.ones((2, 3), np.float32)), "inputs.state.0.h", ("[2, 3]", "expected [2, 2]")),
    "unknown state": Bad(good(state_1_h=np.ones((2, 2), np.float32)), "inputs.state.1.h", ("no input 'state.1.h'",)),
    "empty batch": Bad(infer_request("sums", inputs=GOOD[:0]), "inputs.inputs", ("batch is empty",)),
    "too many rows": Bad(
        infer_request("sums", inputs=np.ones((17, 1, 2), np.float32)), "inputs.inputs", ("17 rows", "at most 16")
    ),
    "too many steps": Bad(
        infer_request("sums", inputs=np.ones((1, 2001, 2), np.float32)), "inputs.inputs", ("2001 time steps", "at most 2000")
    ),
    "id too large": Bad(infer_request("words", inputs=IDS + 9), "inputs.inputs", ("id 9 at [0, 0]", "0 to 8")),
    "id negative": Bad(infer_request("words", inputs=IDS - 1), "inputs.inputs", ("id -1", "0 to 8")),
    "floats for ids": Bad(infer_request("words", inputs=IDS.astype(np.float32)), "inputs.inputs", ("'FP32'", "INT64 or INT32")),
    "unknown implementation": Bad(
        changed(parameter("implementation", string_param="9")),
        "parameters.implementation",
        ("no implementation '9'", "auto, 0, 1, 2, fused"),
        "IMPLEMENTATION_UNKNOWN",
    ),
    "unsupported implementation": Bad(
        changed(parameter("implementation", string_param="fused")),
        "parameters.implementation",
        ("layer 'sums': sums are not fused", "auto, 0, 1, 2"),
        "IMPLEMENTATION_UNSUPPORTED",
    ),
    "parameter's type": Bad(
        changed(parameter("return_state", string_param="yes")), "parameters.return_state", ("a string, expected a bool",)
    ),
    "negative timeout": Bad(changed(parameter("timeout", int64_param=-1)), "parameters.timeout", ("-1",)),
    "sequence that is not live": Bad(
        changed(parameter("sequence_id", int64_param=5)),
        "sequence_id",
        ("not live", "never started"),
        "SEQUENCE_UNKNOWN",
        Code.NOT_FOUND,
    ),
    "id's type": Bad(
        changed(parameter("sequence_id", uint64_param=5)),
        "parameters.sequence_id",
        ("a uint64, expected an int64 or a string",),
    ),
    "end of no sequence": Bad(
        changed(parameter("sequence_end", bool_param=True)), "parameters.sequence_end", ("no sequence_id",)
    ),
    "position of no sequence": Bad(changed(parameter("position", int64_param=3)), "parameters.position", ("no sequence_id",)),
    "epoch of no sequence": Bad(changed(parameter("epoch", string_param="e")), "parameters.epoch", ("no sequence_id",)),
    "negative position": Bad(changed(parameter("position", int64_param=-3)), "parameters.position", ("-3", "0 or more")),
    "shared memory": Bad(
        changed(in_shared_memory),
        "inputs.parameters.shared_memory_region",
        ("shared_memory_region",),
        "NOT_OFFERED",
        Code.UNIMPLEMENTED,
    ),
    "classification": Bad(
        changed(asking("outputs", classification=3)),
        "outputs.parameters.classification",
        ("classification",),
        "NOT_OFFERED",
        Code.UNIMPLEMENTED,
    ),
}


async def refusal(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call  # type: ignore[misc]
    return refused.value


def details_of(error: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """Reason and field paths."""
    status = rpc_status.from_call(error)
    assert status is not None
    info, violations = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info) if detail.Is(info.DESCRIPTOR) else None
        detail.Unpack(violations) if detail.Is(violations.DESCRIPTOR) else None
    assert info.domain == "cellserve"
    assert info.metadata["request_id"] == dict(tuple(error.trailing_metadata()))["cellserve-request-id"]
    return info.reason, [violation.field for violation in violations.field_violations]


async def still_serves(harness: Harness) -> None:
    outputs = outputs_of(await harness.infer(good()))
    np.testing.assert_array_equal(outputs["outputs"][1], running_sum(GOOD[1])[0])


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_told_what_is_wrong_and_nobody_else_notices(harness: Harness, name: str) -> None:
    bad = BAD[name]
    embed = {"kind": "embedding", "name": "embed", "inputs": ["x"], "vocabulary": 9, "units": 2}
    rnn = {"kind": "simple_rnn", "name": "rnn", "inputs": ["embed"], "units": 2}
    words, _ = network_of({"inputs": [{"name": "x", "kind": "ids"}], "layers": [embed, rnn], "outputs": ["rnn"]})
    harness.add("words", words)
    neighbour = asyncio.ensure_future(harness.infer(infer_request("sums", inputs=np.ones((4, 500, 2), np.float32))))
    error = await refusal(harness.infer(bad.request))
    assert error.code() is bad.code
    assert details_of(error) == (bad.reason, [bad.field])
    message = error.details() or ""
    assert message.startswith(f"[{bad.reason}] ")
    for piece in bad.pieces:
        assert piece in message
    assert outputs_of(await neighbour)["outputs_1"].tolist() == [[500, 500]] * 4
    await still_serves(harness)
    assert [fact.reason for fact in harness.observer.requests if fact.reason] == [bad.reason]
    assert harness.catalog.leases == 0


async def test_nan_beyond_a_length_is_padding(harness: Harness) -> None:
    outputs = outputs_of(await harness.infer(infer_request("sums", inputs=with_value(np.nan), lengths=np.array([3, 2]))))
    np.testing.assert_array_equal(outputs["outputs"][1], [[1, 1], [2, 2], [0, 0]])


async def test_a_message_that_cannot_be_parsed_is_invalid(harness: Harness) -> None:
    error = await refusal(harness.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff\xff"))
    assert (error.code(), details_of(error)[0]) == (Code.INVALID_ARGUMENT, "INVALID_INPUT")
    await still_serves(harness)


async def test_an_oversize_message_is_refused(harness: Harness) -> None:
    error = await refusal(harness.infer(infer_request("sums", inputs=np.ones((16, 2000, 2), np.float32))))
    assert error.code() is Code.RESOURCE_EXHAUSTED
    assert str(MESSAGE_BYTES) in (error.details() or "")
    await still_serves(harness)


async def test_a_reply_that_no_message_could_hold_is_refused_before_it_is_computed(harness_of) -> None:
    async with harness_of(limits=Limits(rows=16, steps=100, reply_bytes=47)) as harness:
        harness.add("sums", FakeNetwork(2))
        error = await refusal(harness.infer(infer_request("sums", inputs=GOOD)))
        assert details_of(error)[0] == "INVALID_INPUT"
        assert "64 bytes, more than the 47" in (error.details() or "")
        assert harness.engine_observer.iterations == []


async def test_an_expired_deadline_is_told(harness_of) -> None:
    async with harness_of(join_latency_seconds=1e-6, max_chunk_seconds=1e-6) as harness:
        harness.add("sums", FakeNetwork(2, before=lambda: time.sleep(0.01)))
        error = await refusal(harness.infer(infer_request("sums", inputs=np.ones((1, 2000, 2), np.float32)), timeout=0.2))
        assert error.code() is Code.DEADLINE_EXCEEDED
        async with asyncio.timeout(30):  # alone again: otherwise it might be refused because of the first one
            while any(fact.waiting_timesteps for fact in harness.engine.lanes()):
                await asyncio.sleep(0.005)
        request = changed(
            parameter("timeout", int64_param=50_000), infer_request("sums", inputs=np.ones((1, 2000, 2), np.float32))
        )
        error = await refusal(harness.infer(request))
        assert (error.code(), details_of(error)[0]) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXPIRED")
        await still_serves(harness)


async def test_overload_is_refused_with_a_hint_and_passes(harness_of) -> None:
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(30)

    async with harness_of(max_waiting_timesteps=1000) as harness:
        harness.add("sums", FakeNetwork(2, before=wait))
        first = asyncio.ensure_future(harness.infer(infer_request("sums", inputs=np.ones((1, 900, 2), np.float32))))
        async with asyncio.timeout(30):
            while not any(fact.waiting_timesteps for fact in harness.engine.lanes()):
                await asyncio.sleep(0.005)
        error = await refusal(harness.infer(infer_request("sums", inputs=np.ones((1, 900, 2), np.float32))))
        gate.set()
        assert (error.code(), details_of(error)[0]) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        status = rpc_status.from_call(error)
        assert status is not None
        assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
        assert outputs_of(await first)["outputs_1"].tolist() == [[900, 900]]
        await still_serves(harness)


async def test_a_failing_computation_is_one_neutral_sentence(harness: Harness) -> None:
    error = await refusal(harness.infer(infer_request("sums", inputs=np.full((1, 1, 2), POISON, np.float32))))
    assert (error.code(), details_of(error)[0]) == (Code.INTERNAL, "INTERNAL")
    assert "poison" not in (error.details() or "")
    await still_serves(harness)


async def test_an_unknown_exception_is_one_neutral_sentence_with_the_request_id(harness: Harness) -> None:
    harness.catalog.failure = KeyError("secret")
    error = await refusal(harness.infer(good()))
    assert error.code() is Code.INTERNAL
    assert "secret" not in (error.details() or "")
    assert dict(tuple(error.trailing_metadata()))["cellserve-request-id"] in (error.details() or "")


async def test_a_closed_server_refuses_with_a_hint_and_says_that_it_is_not_ready(harness: Harness) -> None:
    harness.server.close()
    error = await refusal(harness.infer(good()))
    assert (error.code(), details_of(error)[0]) == (Code.UNAVAILABLE, "DRAINING")
    assert not (await harness.open_inference.ServerReady(pb.ServerReadyRequest())).ready
    assert not (await harness.open_inference.ModelReady(pb.ModelReadyRequest(name="sums"))).ready
    assert (await harness.open_inference.ServerLive(pb.ServerLiveRequest())).live


DATATYPES = st.sampled_from(["FP32", "INT64", "INT32", "BOOL", "FP16", "BYTES", "", "x"])
NAMES = st.sampled_from(["inputs", "lengths", "mask", "state.0.h", "inputs_1", "", "state.0.seen"])
TENSORS = st.builds(
    lambda name, datatype, shape, typed: pb.ModelInferRequest.InferInputTensor(
        name=name, datatype=datatype, shape=shape, contents=pb.InferTensorContents(fp32_contents=typed) if typed else None
    ),
    NAMES,
    DATATYPES,
    st.lists(st.integers(-1, 4) | st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(st.floats(width=32), max_size=3),
)
REQUESTS = st.builds(
    lambda tensors, raw, outputs: pb.ModelInferRequest(
        model_name="sums",
        inputs=tensors,
        raw_input_contents=raw,
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
    ),
    st.lists(TENSORS, max_size=3),
    st.lists(st.binary(max_size=64), max_size=3),
    st.lists(st.sampled_from(["outputs", "state.0.h", "x"]), max_size=2),
)


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=8))
def test_no_request_makes_the_server_fail(harness_of, requests: list[pb.ModelInferRequest]) -> None:
    async def scenario() -> None:
        async with harness_of() as harness:
            harness.add("sums", FakeNetwork(2))
            results = await asyncio.gather(*(harness.infer(request) for request in requests), return_exceptions=True)
            for result in results:
                if not isinstance(result, pb.ModelInferResponse):
                    assert isinstance(result, grpc.aio.AioRpcError)
                    assert result.code() is Code.INVALID_ARGUMENT
            await still_serves(harness)

    asyncio.run(scenario())
