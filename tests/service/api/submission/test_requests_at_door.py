"""Who is near: calls told of and begun, requests on streams, without those that wait for a worker or never began."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.pb import open_inference_pb2 as pb
from tests.fakes import FakeNetwork
from tests.service.api.conftest import Harness, infer_request
from tests.service.api.typed.test_sequence_stream import Gate


def test_a_client_that_waits_for_each_reply_is_alone() -> None:
    at_door = RequestsAtDoor()
    at_door.tell(0.0)
    at_door.begin_call()
    assert at_door.near(0.0) == 1
    at_door.end_call()
    assert at_door.near(0.0) == 0
    at_door.begin_streamed()
    at_door.answer_streamed()
    at_door.begin_streamed()  # while the reply before is being written
    assert at_door.near(0.0) == 1


def test_calls_that_grpc_has_told_of_are_near() -> None:
    at_door = RequestsAtDoor()
    for _ in range(3):
        at_door.tell(5.0)
    at_door.begin_call()
    assert at_door.near(5.0) == 3


def test_a_call_that_never_begins_is_forgotten() -> None:
    at_door = RequestsAtDoor()
    at_door.tell(5.0)
    at_door.tell(5.009)
    assert at_door.near(5.011) == 1
    assert at_door.near(5.02) == 0
    at_door.begin_call()  # late: it is counted as begun, and nothing else is missed
    assert at_door.near(5.02) == 1


def test_those_that_wait_for_a_worker_are_not_near() -> None:
    at_door = RequestsAtDoor()
    for _ in range(3):
        at_door.begin_streamed()
    at_door.leave()
    assert at_door.near(0.0) == 2
    at_door.come_back()
    assert at_door.near(0.0) == 3


def test_a_crowd_whose_replies_are_being_written_is_near() -> None:
    at_door = RequestsAtDoor()
    for _ in range(4):
        at_door.begin_streamed()
    for _ in range(3):
        at_door.answer_streamed()
    assert at_door.near(0.0) == 3
    at_door.write_streamed()
    assert at_door.near(0.0) == 2
    at_door.forget_streamed(1, 2)
    assert at_door.near(0.0) == 0


def ask(model: str) -> pb.ModelInferRequest:
    return infer_request(model, inputs=np.ones((1, 3, 2), np.float32))


async def nobody_is_near(harness: Harness) -> None:
    """The limit only keeps a broken test from hanging."""
    async with asyncio.timeout(30):
        while harness.execution.at_door.near(time.monotonic()) != 0:
            await asyncio.sleep(0.005)


async def test_whatever_becomes_of_requests_nobody_is_left_near(harness: Harness) -> None:
    gate = Gate()
    harness.add("slow", FakeNetwork(2, before=gate))

    async def several(*models: str) -> AsyncIterator[pb.ModelInferRequest]:
        for model in models:
            yield ask(model)

    waiting = asyncio.create_task(harness.infer(ask("slow")))
    given_up = asyncio.create_task(harness.infer(ask("slow")))
    stream = harness.open_inference.ModelStreamInfer()
    await stream.write(ask("slow"))
    await gate.is_met()
    await nobody_is_near(harness)  # they are at the worker
    given_up.cancel()
    stream.cancel()
    gate.opened.set()
    assert (await waiting).outputs
    await nobody_is_near(harness)
    await harness.infer(ask("sums"))
    with pytest.raises(grpc.aio.AioRpcError):
        await harness.infer(ask("nothing"))
    replies = [reply async for reply in harness.open_inference.ModelStreamInfer(several("sums", "nothing", "sums"))]
    assert len(replies) == 3
    await nobody_is_near(harness)
