"""ModelStreamInfer over a real server: many requests on one stream, errors as messages, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.pb import open_inference_pb2 as pb
from tests.fakes import POISON, FakeNetwork, running_sum
from tests.service.api.conftest import LIMITS, Harness, infer_request, outputs_of
from tests.service.api.typed.test_sequence_stream import gated

NUMBERS = np.random.default_rng(7)


def ask(request_id: str, length: int = 3, model: str = "sums", value: float | None = None) -> pb.ModelInferRequest:
    inputs = NUMBERS.integers(-9, 9, (1, length, 2)).astype(np.float32)
    if value is not None:
        inputs[:] = value
    request = infer_request(model, inputs=inputs)
    request.id = request_id
    return request


def expected(request: pb.ModelInferRequest) -> np.ndarray:
    inputs = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(request.inputs[0].shape)
    return running_sum(inputs[0])[0]


async def test_a_thousand_requests_in_flight_are_each_answered_exactly_once(harness: Harness) -> None:
    requests = {f"r{n}": ask(f"r{n}", 1 + n % 11) for n in range(1000)}
    async with gated(harness) as gate:
        slow = [ask(f"s{n}", 2, "slow") for n in range(8)]

        async def everything() -> AsyncIterator[pb.ModelInferRequest]:
            for request in (*slow, *requests.values()):
                yield request
            await gate.is_met()
            gate.opened.set()

        stream = harness.open_inference.ModelStreamInfer(everything())
        replies = [reply async for reply in stream]
    answers = {reply.infer_response.id: reply.infer_response for reply in replies}
    assert len(replies) == len(answers) == 1008
    assert not [reply.error_message for reply in replies if reply.error_message]
    for request_id, request in requests.items():
        np.testing.assert_array_equal(outputs_of(answers[request_id])["outputs"][0], expected(request))
    assert await stream.code() is grpc.StatusCode.OK
    assert len({answer.parameters["request_id"].string_param for answer in answers.values()}) == 1008
    assert [(fact.code, fact.queue_seconds is None) for fact in harness.observer.requests] == [("OK", False)] * 1008
    assert [(method.method, method.type, code) for method, code in harness.observer.handled] == [
        ("ModelStreamInfer", "bidi_stream", "OK")
    ]


async def test_replies_come_in_the_order_of_completion(harness_of: Callable[..., Any]) -> None:
    async with harness_of(max_active_sequences=4, workers=2) as harness, gated(harness) as gate:
        harness.add("sums", FakeNetwork(2))
        stream = harness.open_inference.ModelStreamInfer()
        await stream.write(ask("late", model="slow"))
        await gate.is_met()
        await stream.write(ask("early", model="nobody"))
        assert (await stream.read()).infer_response.id == "early"
        gate.opened.set()
        assert (await stream.read()).infer_response.id == "late"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


def shared_memory(request: pb.ModelInferRequest) -> pb.ModelInferRequest:
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    return request


BAD = {
    "model": (ask("bad", model="nobody"), "MODEL_UNKNOWN"),
    "not finite": (ask("bad", value=np.inf), "INVALID_INPUT"),
    "shared memory": (shared_memory(ask("bad")), "NOT_OFFERED"),
    "its batch fails": (ask("bad", value=POISON), "INTERNAL"),
    "empty": (pb.ModelInferRequest(), "MODEL_UNKNOWN"),
}


@pytest.mark.parametrize("name", BAD)
async def test_an_error_is_a_message_and_the_stream_goes_on(harness: Harness, name: str) -> None:
    bad, reason = BAD[name]
    stream = harness.open_inference.ModelStreamInfer()
    await stream.write(bad)
    refused = await stream.read()
    request_id = refused.infer_response.parameters["request_id"].string_param
    assert refused.error_message.startswith(f"[{reason}] ")
    assert refused.error_message.endswith(f"(request id {request_id})")
    assert request_id
    assert "poisoned" not in refused.error_message
    assert refused.infer_response.id == bad.id
    assert not refused.infer_response.outputs
    good = ask("good")
    await stream.write(good)
    answer = await stream.read()
    assert not answer.error_message
    np.testing.assert_array_equal(outputs_of(answer.infer_response)["outputs"][0], expected(good))
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert [fact.reason for fact in harness.observer.requests] == [reason, None]
    assert harness.catalog.leases == 0


async def test_a_stream_without_requests_ends_well(harness: Harness) -> None:
    stream = harness.open_inference.ModelStreamInfer(iter([]))
    assert [reply async for reply in stream] == []
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_time_out_of_one_request_leaves_the_others(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.open_inference.ModelStreamInfer()
        await stream.write(ask("first", model="slow"))
        await gate.is_met()
        short = ask("short", model="slow")
        short.parameters["timeout"].int64_param = 1000
        await stream.write(short)
        await stream.write(ask("last", model="slow"))
        await asyncio.sleep(0.05)  # until the time is over
        gate.opened.set()
        replies = {(reply := await stream.read()).infer_response.id: reply.error_message for _ in range(3)}
        assert replies["short"].startswith("[DEADLINE_EXPIRED]")
        assert (replies["first"], replies["last"]) == ("", "")
        stream.cancel()


async def test_cancelling_the_stream_frees_every_row_of_it(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.open_inference.ModelStreamInfer()
        for n in range(20):
            await stream.write(ask(f"{n}", model="slow"))
        await gate.is_met()
        stream.cancel()
        gate.opened.set()
        await harness.rows_are_free(8)
        async with asyncio.timeout(30):
            while harness.catalog.leases or not harness.observer.handled:
                await asyncio.sleep(0.005)
    assert [code for _, code in harness.observer.handled] == ["CANCELLED"]
    assert {fact.code for fact in harness.observer.requests} <= {"CANCELLED", "OK"}
    assert (await harness.infer(ask("after"))).id == "after"


async def test_a_reader_that_stops_reading_is_not_read_either(harness_of: Callable[..., Any]) -> None:
    """Replies of 160 kB soon fill what HTTP/2 takes unread; from then on the server must stand still, and go on later."""
    limits = replace(LIMITS, unanswered=4)
    async with harness_of(limits, max_active_sequences=8) as harness:
        harness.add("wide", FakeNetwork(64))
        inputs = NUMBERS.integers(-9, 9, (1, 600, 64)).astype(np.float32)
        request = infer_request("wide", inputs=inputs)
        stream = harness.open_inference.ModelStreamInfer(iter([request] * 200))
        before = -1
        async with asyncio.timeout(30):
            while before <= 0 or before != len(harness.observer.requests):
                before = len(harness.observer.requests)
                await asyncio.sleep(0.3)
        assert 0 < before < 200
        assert harness.catalog.leases == 0
        assert len([reply async for reply in stream]) == 200
        assert len(harness.observer.requests) == 200


async def test_a_server_that_leaves_still_answers(harness: Harness) -> None:
    harness.server.leave()
    assert not (await harness.open_inference.ServerReady(pb.ServerReadyRequest())).ready
    assert not (await harness.open_inference.ModelReady(pb.ModelReadyRequest(name="sums"))).ready
    assert (await harness.infer(ask("late"))).id == "late"


async def test_a_stopping_server_answers_what_it_took_refuses_the_rest_and_ends_the_stream(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.open_inference.ModelStreamInfer()
        await stream.write(ask("accepted", model="slow"))
        await gate.is_met()
        harness.server.close()
        await stream.write(ask("late"))
        refused = await stream.read()
        assert refused.infer_response.id == "late"
        assert refused.error_message.startswith("[DRAINING] ")
        stopping = asyncio.create_task(harness.server.stop(30))
        await asyncio.sleep(0)
        gate.opened.set()
        answer = await stream.read()
        assert (answer.infer_response.id, answer.error_message) == ("accepted", "")
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "[DRAINING]" in (ended.value.details() or "")
        await stopping


async def test_an_idle_stream_does_not_hold_up_a_stop(harness: Harness) -> None:
    stream = harness.open_inference.ModelStreamInfer()
    await stream.write(ask("one"))
    assert (await stream.read()).infer_response.id == "one"
    harness.server.close()
    async with asyncio.timeout(30):
        await harness.server.stop(3600)
    assert await stream.code() is grpc.StatusCode.UNAVAILABLE


async def test_bytes_that_are_no_request_end_the_stream_with_a_reason(harness: Harness) -> None:
    stream = harness.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([b"\xff\xff"]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
