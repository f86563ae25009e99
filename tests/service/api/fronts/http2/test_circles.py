"""What a call holds is freed when it ends, however it ends: none of it waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import numpy as np

from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.api.fronts.http2.client import Client, connected
from tests.service.api.typed.test_sequences import tensor
from tests.service.served import infer_request, publish, served

INFER, STREAM_INFER = (f"/inference.GRPCInferenceService/{name}".encode() for name in ("ModelInfer", "ModelStreamInfer"))
RUN, STREAM, OPEN, FEED, CLOSE = (
    f"/cellserve.v1.Sequences/{name}".encode() for name in ("Run", "Stream", "Open", "Feed", "Close")
)
LIMITED = (b"grpc-timeout", b"1H")
INVALID, NOT_FOUND = (code.value[0] for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND))
LATE = [code.value[0] for code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)]
TIMES = 10
MADE_OF = {"Call", "RequestHead", "IncomingMessages", "Task", "coroutine", "frame", "traceback"}


def infer(steps: int, width: int = 3) -> bytes:
    return infer_request(np.zeros((1, steps, width), np.float32)).SerializeToString()


GOOD, LONG = infer(5), infer(100_000)
TWO_ROWS = pb.RunRequest(model="small", lengths=[2, 3], inputs=tensor(np.zeros((5, 3), np.float32)))


async def answered(client: Client) -> None:
    assert (await client.answer(INFER, GOOD, LIMITED)).status == 0


async def answered_row_by_row(client: Client) -> None:
    assert (await client.answer(RUN, TWO_ROWS.SerializeToString(), LIMITED)).status == 0


async def refused(client: Client) -> None:
    assert (await client.answer(INFER, infer(5, width=2), LIMITED)).status == INVALID
    assert (await client.answer(INFER, infer_request(np.zeros((1, 5, 3)), "none").SerializeToString())).status == NOT_FOUND
    assert (await client.answer(INFER, b"\xff", LIMITED)).status == INVALID


async def too_late(client: Client) -> None:
    for limit in (b"1n", b"1m"):
        assert (await client.answer(INFER, LONG, (b"grpc-timeout", limit))).status in LATE


async def cancelled(client: Client) -> None:
    stream_id = client.call(INFER, LONG, LIMITED)
    await client.answer(INFER, GOOD)
    client.reset(stream_id)


async def without_its_message(client: Client) -> None:
    client.reset(client.call(INFER, None, LIMITED))


async def fed(client: Client) -> None:
    """A live sequence from its beginning to its end."""
    sequence = {"model": "small", "sequence_id": "fed"}
    assert (await client.answer(OPEN, pb.OpenRequest(**sequence).SerializeToString())).status == 0
    steps = tensor(np.zeros((2, 3), np.float32))
    assert (await client.answer(FEED, pb.FeedRequest(**sequence, inputs=steps).SerializeToString(), LIMITED)).status == 0
    assert (await client.answer(FEED, pb.FeedRequest(**sequence, position=7).SerializeToString(), LIMITED)).status != 0
    assert (await client.answer(CLOSE, pb.CloseRequest(**sequence).SerializeToString())).status == 0


async def streamed(client: Client) -> None:
    assert (await client.answer(STREAM_INFER, GOOD, LIMITED)).status == 0
    assert (await client.answer(STREAM, pb.StreamRequest(id="a", run=TWO_ROWS).SerializeToString(), LIMITED)).status == 0
    assert (await client.answer(STREAM, pb.StreamRequest(id="b", run=pb.RunRequest()).SerializeToString())).status == 0


async def stream_left(client: Client) -> None:
    for path, request in ((STREAM_INFER, GOOD), (STREAM, pb.StreamRequest(run=TWO_ROWS).SerializeToString())):
        stream_id = client.call(path, request, LIMITED, end=False)
        await client.until(lambda: bool(client.streams[stream_id].messages))  # noqa: B023
        client.reset(stream_id)


async def stream_left_unanswered(client: Client) -> None:
    stream_id = client.call(STREAM_INFER, LONG, LIMITED, end=False)
    await client.answer(INFER, GOOD)
    client.reset(stream_id)


WAYS = (
    answered,
    answered_row_by_row,
    refused,
    too_late,
    cancelled,
    without_its_message,
    fed,
    streamed,
    stream_left,
    stream_left_unanswered,
)


def held() -> Counter[str]:
    """What there is of what calls are made of."""
    return Counter(name for each in gc.get_objects() if (name := type(each).__qualname__) in MADE_OF)


async def left_by(way: Callable[[Client], Awaitable[None]], client: Client) -> dict[str, int]:
    """How many more of each there are after it was gone often, and what has ended could tell so."""
    before = held()
    for _ in range(TIMES):
        await way(client)
    for _ in range(25):
        left = {name: more for name, more in (held() - before).items() if more >= TIMES}
        if not left:
            break
        await asyncio.sleep(0.02)
    return left


async def test_a_call_leaves_nothing_to_the_collector(tmp_path: Path) -> None:
    publish(tmp_path)
    async with served(tmp_path, front="http2") as server, connected(server.running.port) as client:
        await answered(client)
        gc.collect()
        gc.disable()
        try:
            left = {way.__name__: await left_by(way, client) for way in WAYS}
        finally:
            gc.enable()
    assert not {way: more for way, more in left.items() if more}
