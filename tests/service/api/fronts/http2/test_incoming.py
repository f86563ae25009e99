"""The messages of a running call: in order, ended, and each byte that came acknowledged exactly once, whoever leaves when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.fronts.http2.headers import Unreadable
from cellserve.service.api.fronts.http2.incoming import IncomingMessages
from cellserve.service.api.fronts.http2.messages import MessageReader, prefix


def incoming(acknowledged: list[int], parse: Any = None) -> IncomingMessages:
    return IncomingMessages(MessageReader(b"identity", 1000), parse, acknowledged.append, asyncio.get_running_loop())


def framed(message: bytes) -> bytes:
    return prefix(len(message)) + message


async def test_messages_come_in_order_and_end() -> None:
    acknowledged: list[int] = []
    messages = incoming(acknowledged, bytes.decode)
    messages.feed(framed(b"a") + framed(b"b"))
    messages.feed(framed(b"c"))
    messages.end()
    assert [message async for message in messages] == ["a", "b", "c"]
    assert sum(acknowledged) == 18


async def test_whoever_waits_is_woken() -> None:
    messages = incoming([])
    waiting = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)
    messages.feed(framed(b"a")[:3])
    await asyncio.sleep(0)
    assert not waiting.done()
    messages.feed(framed(b"a")[3:])
    assert await waiting == b"a"
    waiting = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)
    messages.end()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_whoever_is_cancelled_while_waiting_loses_nothing() -> None:
    messages = incoming([])
    waiting = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    messages.feed(framed(b"a"))
    assert await anext(messages) == b"a"


async def test_the_window_opens_once_nothing_whole_waits() -> None:
    acknowledged: list[int] = []
    messages = incoming(acknowledged)
    messages.feed(framed(b"a") + framed(b"b"))
    await anext(messages)
    assert not acknowledged
    await anext(messages)
    assert sum(acknowledged) == 12


async def test_part_of_a_message_opens_the_window_or_it_could_never_end() -> None:
    acknowledged: list[int] = []
    messages = incoming(acknowledged)
    messages.feed(framed(bytes(900))[:500])
    assert acknowledged == [500]


async def test_what_comes_after_a_drop_is_acknowledged_and_thrown_away() -> None:
    acknowledged: list[int] = []
    messages = incoming(acknowledged)
    messages.feed(framed(b"a"))
    messages.drop()
    assert acknowledged == [6]
    messages.drop()
    assert acknowledged == [6]
    with pytest.raises(StopAsyncIteration):
        await anext(messages)


async def test_a_bad_message_is_told_and_what_came_of_it_is_acknowledged_at_the_drop() -> None:
    acknowledged: list[int] = []
    messages = incoming(acknowledged)
    with pytest.raises(Unreadable):
        messages.feed(b"\7\0\0\0\0")
    messages.drop()
    assert acknowledged == [5]


@given(st.lists(st.one_of(st.integers(1, 30), st.sampled_from(["take", "drop", "end"])), max_size=40), st.binary(max_size=400))
def test_every_byte_is_acknowledged_exactly_once(script: list[int | str], body: bytes) -> None:
    """Bytes come in pieces, somebody takes messages in between, and at some point leaves."""
    data = framed(body[:7]) + framed(body[7:60]) + framed(b"") + framed(body[60:])

    async def act() -> None:
        acknowledged: list[int] = []
        messages = incoming(acknowledged)
        received, rest, over = 0, data, False
        for step in script:
            if isinstance(step, int):
                if over:
                    continue  # a call that is over is fed nothing: its connection acknowledges
                messages.feed(rest[:step])
                received += len(rest[:step])
                rest = rest[step:]
            elif step == "take":
                taking = asyncio.create_task(anext(messages, None))
                await asyncio.sleep(0)
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
            else:
                messages.drop()
                over = True
            assert sum(acknowledged) <= received
        messages.drop()
        assert sum(acknowledged) == received
        assert all(acknowledged)

    asyncio.run(act())
