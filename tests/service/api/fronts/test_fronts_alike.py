"""Both fronts under the same calls of grpc.aio's client: what clients can tell must be the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from tests.service.api.fronts.calls import usual
from tests.service.api.fronts.fronts import MOST_BYTES, Served, serving

Seen = Any
Scenario = Callable[[Served, grpc.aio.Channel], Awaitable[Seen]]
OURS = ("grpc", "http2")


def told(error: grpc.aio.AioRpcError) -> tuple[Any, ...]:
    return error.code(), error.details(), pairs(error.initial_metadata()), pairs(error.trailing_metadata())


def pairs(metadata: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in metadata or ()]


async def outcome(call: Any) -> Seen:
    """The reply, or what the error says."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return told(error)


async def plain(served: Served, channel: grpc.aio.Channel) -> Seen:
    call = channel.unary_unary("/s.S/Echo")(b"x", metadata=(("k", "v"), ("k", "w"), ("d-bin", b"\0\xff")), timeout=60)
    return await call, pairs(await call.initial_metadata()), pairs(await call.trailing_metadata()), await call.code()


async def empty(served: Served, channel: grpc.aio.Channel) -> Seen:
    stream = channel.stream_stream("/s.S/Echoes")(iter([b"", b"x", b""]))
    return await channel.unary_unary("/s.S/Echo")(b""), [reply async for reply in stream]


async def seen_metadata(served: Served, channel: grpc.aio.Channel) -> Seen:
    seen: list[Any] = []

    async def look(request: bytes, context: Any) -> bytes:
        seen.extend((key, value) for key, value in context.invocation_metadata() if key != "user-agent")
        agent = next(value for key, value in context.invocation_metadata() if key == "user-agent")
        left_seconds = context.time_remaining()
        seen.append(
            (agent.startswith("grpc-python-asyncio/"), type(left_seconds), left_seconds is not None and left_seconds < 11)
        )
        seen.append(context.peer().rpartition(":")[0])
        return b""

    served.calls.unary("/s.S/Look", look)
    metadata = (("k", "v"), ("k", "w"), ("d-bin", b"\0\xff"), ("e-bin", b""), ("long", "x" * 3000))
    await channel.unary_unary("/s.S/Look")(b"", metadata=metadata, timeout=60)
    await channel.unary_unary("/s.S/Look")(b"")
    return seen


async def aborted(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def fail(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no é 100%\nnext", (("k", "v"), ("d-bin", b"\0\1\xff")))
        raise AssertionError

    served.calls.unary("/s.S/Fail", fail)
    return await outcome(channel.unary_unary("/s.S/Fail")(b""))


async def refused_by_status(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def refuse(request: bytes, context: Any) -> None:
        context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
        context.set_details("not now")
        context.set_trailing_metadata((("why", "later"),))

    served.calls.unary("/s.S/Refuse", refuse)
    return await outcome(channel.unary_unary("/s.S/Refuse")(b""))


async def unknown_method(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/None")(b""))
    stream = channel.stream_stream("/s.S/None")()  # it sends nothing: one that ends while it sends loses its status (grpc.aio)
    return code, (await outcome(stream.read()))[0]


async def failed(served: Served, channel: grpc.aio.Channel) -> Seen:
    """The sentence differs: gRPC's own shows the exception."""

    async def fail(request: bytes, context: Any) -> bytes:
        raise ValueError("a secret")

    served.calls.unary("/s.S/Fail", fail)
    code, *_ = await outcome(channel.unary_unary("/s.S/Fail")(b""))
    return code


async def metadata_both_ways(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def show(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("first", "1"), ("first-bin", b"\1")))
        async for request in requests:
            yield request
        context.set_trailing_metadata((("last", "2"), ("last-bin", b"\2")))

    served.calls.stream("/s.S/Show", show)
    call = channel.stream_stream("/s.S/Show")(iter([b"x"]))
    initial = pairs(await call.initial_metadata())
    return initial, [reply async for reply in call], pairs(await call.trailing_metadata())


async def initial_metadata_before_any_reply(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def show(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("first", "1"),))
        async for request in requests:
            yield request

    served.calls.stream("/s.S/Show", show)
    call = channel.stream_stream("/s.S/Show")()
    async with asyncio.timeout(60):
        initial = pairs(await call.initial_metadata())
    await call.write(b"x")
    await call.done_writing()
    return initial, [reply async for reply in call]


async def stream_that_aborts(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def stop(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request
            await context.abort(grpc.StatusCode.ABORTED, "enough", (("k", "v"),))

    served.calls.stream("/s.S/Stop", stop)
    call = channel.stream_stream("/s.S/Stop")()
    await call.write(b"x")
    first = await call.read()
    return first, await outcome(call.read())


async def stream_of_nothing(served: Served, channel: grpc.aio.Channel) -> Seen:
    call = channel.stream_stream("/s.S/Echoes")(iter(()))
    return [reply async for reply in call], await call.code(), pairs(await call.trailing_metadata())


async def client_stream(served: Served, channel: grpc.aio.Channel) -> Seen:
    return await channel.stream_unary("/s.S/Count")(iter([b"a", b"", b"c"])), await channel.stream_unary("/s.S/Count")(iter(()))


async def server_stream(served: Served, channel: grpc.aio.Channel) -> Seen:
    return [len(reply) async for reply in channel.unary_stream("/s.S/Many")(b"20 100000")]


async def late(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/Rest")(b"", timeout=0.05))
    return code


async def cancelled(served: Served, channel: grpc.aio.Channel) -> Seen:
    call = channel.unary_unary("/s.S/Rest")(b"")
    async with asyncio.timeout(60):
        while not served.calls.begun:
            await asyncio.sleep(0.01)
        call.cancel()
        while not served.calls.ended:
            await asyncio.sleep(0.01)
    return await call.code(), served.calls.cancelled


async def compressed(served: Served, channel: grpc.aio.Channel) -> Seen:
    replies = []
    for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression):
        replies.append(await channel.unary_unary("/s.S/Size")(bytes(100_000), compression=kind))
        call = channel.stream_stream("/s.S/Echoes")(iter([b"x" * 1000] * 3), compression=kind)
        replies.append([reply async for reply in call])
    return replies


async def compressed_beyond_the_largest(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/Size")(bytes(MOST_BYTES + 1), compression=grpc.Compression.Gzip))
    return code


async def request_beyond_the_largest(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/Size")(bytes(MOST_BYTES + 1)))
    return code, await channel.unary_unary("/s.S/Size")(bytes(MOST_BYTES))


async def reply_beyond_the_largest(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/Zeros")(str(MOST_BYTES + 1).encode()))
    return code, len(await channel.unary_unary("/s.S/Zeros")(str(MOST_BYTES).encode()))


async def metadata_beyond_the_largest(served: Served, channel: grpc.aio.Channel) -> Seen:
    code, *_ = await outcome(channel.unary_unary("/s.S/Echo")(b"", metadata=[(f"k{n}", "v" * 1000) for n in range(40)]))
    return code


async def waits_for_ready(served: Served, channel: grpc.aio.Channel) -> Seen:
    return await channel.unary_unary("/s.S/Echo")(b"x", wait_for_ready=True, timeout=60)


async def many_at_a_time(served: Served, channel: grpc.aio.Channel) -> Seen:
    return await asyncio.gather(*(channel.unary_unary("/s.S/Echo")(str(n).encode()) for n in range(200)))


async def turned_away(served: Served, channel: grpc.aio.Channel) -> Seen:
    served.calls.closed = True
    return await outcome(channel.unary_unary("/s.S/Echo")(b"x"))


async def a_reader_that_pauses(served: Served, channel: grpc.aio.Channel) -> Seen:
    call = channel.unary_stream("/s.S/Many")(b"100 100000")
    first = len(await call.read())
    await asyncio.sleep(0.1)
    return first, [len(await call.read()) for _ in range(99)], await call.read() is grpc.aio.EOF


async def an_answer_before_the_end_of_the_request(served: Served, channel: grpc.aio.Channel) -> Seen:
    async def early(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            break
        yield b"enough"

    served.calls.stream("/s.S/Early", early)
    call = channel.stream_stream("/s.S/Early")()
    await call.write(b"x")
    return await call.read(), await call.read() is grpc.aio.EOF, await call.code()


async def a_stream_stopped_by_its_reader(served: Served, channel: grpc.aio.Channel) -> Seen:
    call = channel.unary_stream("/s.S/Many")(b"1000 100000")
    await call.read()
    call.cancel()
    async with asyncio.timeout(60):
        while not served.calls.ended:
            await asyncio.sleep(0.01)
    return await call.code()


SCENARIOS: list[Scenario] = [
    plain,
    empty,
    seen_metadata,
    aborted,
    refused_by_status,
    unknown_method,
    failed,
    metadata_both_ways,
    initial_metadata_before_any_reply,
    stream_that_aborts,
    stream_of_nothing,
    client_stream,
    server_stream,
    late,
    cancelled,
    compressed,
    compressed_beyond_the_largest,
    request_beyond_the_largest,
    reply_beyond_the_largest,
    metadata_beyond_the_largest,
    waits_for_ready,
    many_at_a_time,
    turned_away,
    a_reader_that_pauses,
    an_answer_before_the_end_of_the_request,
    a_stream_stopped_by_its_reader,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
async def test_clients_cannot_tell_the_fronts_apart(scenario: Scenario) -> None:
    seen = []
    for front in OURS:
        async with serving(front, usual()) as served, served.channel() as channel, asyncio.timeout(30):
            seen.append(await scenario(served, channel))
    assert seen[0] == seen[1]
