"""cellserve.v1.Sequences.Stream over a real server: many requests on one stream, each with an answer or an error of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from cellserve.service.errors import InternalFailure
from cellserve.service.pb import cellserve_pb2 as pb
from tests.fakes import POISON, FakeNetwork, running_sum
from tests.service.api.conftest import LIMITS, Harness
from tests.service.api.typed.test_sequences import array, tensor

NUMBERS = np.random.default_rng(5)


def steps(length: int) -> np.ndarray:
    return NUMBERS.integers(-9, 9, (length, 2)).astype(np.float32)


def ask(given: str, row: np.ndarray, model: str = "sums", timeout_seconds: float = 0.0, **fields: Any) -> pb.StreamRequest:
    run = pb.RunRequest(model=model, **({"lengths": [len(row)], "inputs": tensor(row)} | fields))
    return pb.StreamRequest(id=given, timeout_seconds=timeout_seconds, run=run)


class Gate:
    """A network's `before`: computing waits until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.met = threading.Event()

    def __call__(self) -> None:
        self.met.set()
        assert self.opened.wait(30)

    async def is_met(self) -> None:
        assert await asyncio.to_thread(self.met.wait, 30)


@asynccontextmanager
async def gated(harness: Harness, model: str = "slow") -> AsyncIterator[Gate]:
    gate = Gate()
    harness.add(model, FakeNetwork(2, before=gate))
    try:
        yield gate
    finally:
        gate.opened.set()


async def test_every_request_is_answered_under_its_id(harness: Harness) -> None:
    rows = {f"r{n}": steps(1 + n % 7) for n in range(200)}
    stream = harness.sequences.Stream(iter([ask(given, row) for given, row in rows.items()]))
    replies = [reply async for reply in stream]
    assert {reply.id for reply in replies} == set(rows)
    assert len({reply.request_id for reply in replies}) == len(replies) == 200
    for reply in replies:
        np.testing.assert_array_equal(array(reply.run.outputs[0].tensor), running_sum(rows[reply.id])[0])
    assert await stream.code() is grpc.StatusCode.OK
    assert [fact.code for fact in harness.observer.requests] == ["OK"] * 200


async def test_a_slow_first_call_is_no_reason_to_refuse_those_who_come_after_it(harness: Harness) -> None:
    gate = Gate()
    calls = iter([lambda: time.sleep(0.5), gate])
    harness.add("slow", FakeNetwork(2, before=lambda: next(calls, lambda: None)()))
    stream = harness.sequences.Stream()
    await stream.write(ask("first", steps(1), "slow"))
    assert (await stream.read()).id == "first"
    for number in range(200):
        await stream.write(ask(f"r{number}", steps(7), "slow"))
    async with asyncio.timeout(30):
        while sum(fact.waiting_timesteps for fact in harness.engine.lanes()) < 200 * 7 and len(harness.observer.requests) == 1:
            await asyncio.sleep(0.005)
    gate.opened.set()
    replies = [await stream.read() for _ in range(200)]
    assert [reply.error.message for reply in replies if reply.WhichOneof("result") != "run"] == []
    await stream.done_writing()


async def test_what_is_done_first_is_answered_first(harness_of: Callable[..., Any]) -> None:
    async with harness_of(max_active_sequences=4, workers=2) as harness, gated(harness) as gate:
        harness.add("sums", FakeNetwork(2))
        stream = harness.sequences.Stream()
        await stream.write(ask("late", steps(2), "slow"))
        await stream.write(ask("bad", steps(2), "nobody"))
        assert (await stream.read()).id == "bad"
        gate.opened.set()
        assert (await stream.read()).id == "late"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


BAD = {
    "no action": (pb.StreamRequest(id="bad"), 3, "INVALID_INPUT", "action"),
    "unknown model": (ask("bad", steps(2), "nobody"), 5, "MODEL_UNKNOWN", "model"),
    "shape": (ask("bad", steps(2), lengths=[5]), 3, "INVALID_INPUT", "inputs"),
    "unsupported": (ask("bad", steps(2), implementation="fused"), 3, "IMPLEMENTATION_UNSUPPORTED", "implementation"),
    "time-out": (ask("bad", steps(2), timeout_seconds=-1.0), 3, "INVALID_INPUT", "timeout_seconds"),
    "no time-out": (ask("bad", steps(2), timeout_seconds=float("nan")), 3, "INVALID_INPUT", "timeout_seconds"),
    "id": (ask("b" * 129, steps(2)), 3, "INVALID_INPUT", "id"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_has_an_error_of_its_own_and_the_stream_goes_on(harness: Harness, name: str) -> None:
    bad, code, reason, field = BAD[name]
    row = steps(3)
    stream = harness.sequences.Stream()
    await stream.write(bad)
    error = await stream.read()
    assert (error.id, error.error.code, error.error.reason, error.error.field) == (bad.id, code, reason, field)
    assert error.request_id
    assert "[" + reason not in error.error.message
    await stream.write(ask("good", row))
    np.testing.assert_array_equal(array((await stream.read()).run.outputs[1].tensor), running_sum(row)[1:2])
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert [fact.reason for fact in harness.observer.requests] == [reason, None]


async def test_a_failing_batch_fails_its_own_requests(harness: Harness) -> None:
    stream = harness.sequences.Stream(iter([ask("poison", np.full((1, 2), POISON, np.float32))]))
    (reply,) = [reply async for reply in stream]
    assert (reply.error.reason, reply.error.code) == (InternalFailure.reason, 13)
    assert "poisoned" not in reply.error.message


async def test_an_id_in_flight_cannot_be_used_again(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.sequences.Stream()
        await stream.write(ask("one", steps(2), "slow"))
        await gate.is_met()
        await stream.write(ask("one", steps(2)))
        refused = await stream.read()
        assert (refused.id, refused.error.field) == ("one", "id")
        gate.opened.set()
        assert (await stream.read()).WhichOneof("result") == "run"
        await stream.write(ask("one", steps(2), "slow"))
        assert (await stream.read()).WhichOneof("result") == "run"
        stream.cancel()


async def test_a_cancelled_request_is_told_so_and_its_row_is_free(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.sequences.Stream()
        await stream.write(ask("one", steps(9), "slow"))
        await gate.is_met()
        await stream.write(pb.StreamRequest(id="nobody", cancel=pb.Cancel()))
        await stream.write(pb.StreamRequest(id="one", cancel=pb.Cancel()))
        reply = await stream.read()
        assert (reply.id, reply.error.code, reply.error.reason) == ("one", 1, "CANCELLED")
        gate.opened.set()
        await harness.rows_are_free(8)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    assert [fact.code for fact in harness.observer.requests] == ["CANCELLED"]
    assert harness.catalog.leases == 0


async def test_a_cancel_right_behind_its_request_is_answered(harness: Harness) -> None:
    messages = [
        message for n in range(50) for message in (ask(f"{n}", steps(1)), pb.StreamRequest(id=f"{n}", cancel=pb.Cancel()))
    ]
    replies = [reply async for reply in harness.sequences.Stream(iter(messages))]
    assert {reply.id for reply in replies} == {f"{n}" for n in range(50)}
    assert len(replies) == 50


async def test_time_runs_out_for_one_request_alone(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.sequences.Stream()
        await stream.write(ask("short", steps(2), "slow", timeout_seconds=0.05))
        reply = await stream.read()
        assert (reply.id, reply.error.code, reply.error.reason) == ("short", 4, "DEADLINE_EXPIRED")
        gate.opened.set()
        await stream.write(ask("long", steps(2), "slow", timeout_seconds=30.0))
        assert (await stream.read()).WhichOneof("result") == "run"
        stream.cancel()


async def test_a_client_that_goes_leaves_nothing_behind(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.sequences.Stream()
        for n in range(20):
            await stream.write(ask(f"{n}", steps(3), "slow"))
        async with asyncio.timeout(30):
            while harness.catalog.leases < 20:
                await asyncio.sleep(0.005)
        await gate.is_met()
        stream.cancel()
        gate.opened.set()
        await harness.rows_are_free(8)
        async with asyncio.timeout(30):
            while len(harness.observer.requests) < 20 or harness.catalog.leases:
                await asyncio.sleep(0.005)


async def test_no_more_is_read_than_may_be_unanswered(harness_of: Callable[..., Any]) -> None:
    async with harness_of(replace(LIMITS, unanswered=3), max_active_sequences=8) as harness, gated(harness) as gate:
        stream = harness.sequences.Stream()
        for n in range(9):
            await stream.write(ask(f"{n}", steps(3), "slow"))
        await stream.done_writing()
        await gate.is_met()
        await asyncio.sleep(0.05)  # time in which a server without a limit would read on
        assert harness.catalog.leases <= 3
        gate.opened.set()
        assert len([reply async for reply in stream]) == 9


async def test_a_stopping_server_answers_what_it_has_read_and_says_so(harness: Harness) -> None:
    async with gated(harness) as gate:
        stream = harness.sequences.Stream()
        await stream.write(ask("accepted", steps(3), "slow"))
        await gate.is_met()
        harness.server.close()
        gate.opened.set()
        assert (await stream.read()).WhichOneof("result") == "run"
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        assert "[DRAINING]" in await stream.details()


async def test_bytes_that_are_no_request_end_the_stream_with_a_reason(harness: Harness) -> None:
    call = harness.channel.stream_stream("/cellserve.v1.Sequences/Stream")
    stream = call(iter([b"\xff\xff"]))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("form", [pb.FLOAT16, pb.BFLOAT16])
async def test_short_floats_are_widened_at_the_door(harness: Harness, form: pb.DataType) -> None:
    row = steps(4)
    halves = row.astype("<f2") if form == pb.FLOAT16 else (row.view(np.uint32) >> 16).astype("<u2")
    inputs = pb.Tensor(dtype=form, shape=row.shape, data=halves.tobytes())
    (reply,) = [reply async for reply in harness.sequences.Stream(iter([ask("half", row, inputs=inputs)]))]
    np.testing.assert_array_equal(array(reply.run.outputs[0].tensor), running_sum(row)[0])
