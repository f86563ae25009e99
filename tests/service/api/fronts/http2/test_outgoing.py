"""What one connection sends, over a session that puts one byte on the wire for each act."""

from __future__ import annotations

import asyncio
import gc
import weakref

import ngh2
import pytest

from cellserve.service.api.fronts.http2.outgoing import Outgoing
from cellserve.service.api.fronts.http2.stream_ends import StreamEnds


class FakeSession:
    """queued: by stream, the bytes that its client has no room for."""

    def __init__(self) -> None:
        self.ready = b""
        self.queued: dict[int, int] = {}
        self.reset: list[int] = []
        self.is_broken = False

    def put(self) -> None:
        self.ready += b"."

    def data_to_send(self, most_bytes: int) -> bytes:
        if self.is_broken:
            raise ngh2.NGH2Error("out of order")
        ready, self.ready = self.ready, b""
        return ready

    def queued_body_size(self, stream_id: int | None = None) -> int:
        return sum(self.queued.values()) if stream_id is None else self.queued.get(stream_id, 0)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.reset.append(stream_id)


class FakeTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 7


class Sending:
    def __init__(self) -> None:
        self.session, self.transport = FakeSession(), FakeTransport()
        self.told: list[str] = []
        self.outgoing = Outgoing(
            self.session, StreamEnds(), asyncio.get_running_loop(), self.told.append, lambda: self.told.append("written")
        )
        self.outgoing.begin(self.transport)

    def send(self, stream_id: int = 1) -> None:
        self.outgoing.send(stream_id, lambda session: self.session.put())


async def turn() -> None:
    """Of the event loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    sending = Sending()
    for _ in range(3):
        sending.send()
    assert sending.transport.written == []
    await turn()
    assert sending.transport.written == [b"..."]
    assert sending.told == ["written"]


async def test_what_is_held_leaves_when_it_is_released() -> None:
    sending = Sending()
    sending.outgoing.hold()
    sending.send()
    await turn()
    assert sending.transport.written == []
    sending.outgoing.release()
    assert sending.transport.written == [b"."]


async def test_what_is_gathered_does_not_leave_with_a_release_but_with_what_is_sent() -> None:
    sending = Sending()
    sending.outgoing.hold()
    sending.outgoing.send_gathered(1, lambda session: sending.session.put())
    sending.outgoing.release()
    assert sending.transport.written == []
    sending.outgoing.hold()
    sending.send(3)
    sending.outgoing.release()
    assert sending.transport.written == [b".."]


async def test_what_is_gathered_leaves_in_any_case() -> None:
    sending = Sending()
    sending.outgoing.send_gathered(1, lambda session: sending.session.put())
    async with asyncio.timeout(30.0):
        while not sending.transport.written:
            await asyncio.sleep(0.001)
    assert sending.transport.written == [b"."]


async def test_a_socket_that_is_full_gets_nothing_until_it_has_room() -> None:
    sending = Sending()
    sending.outgoing.pause()
    sending.send()
    await turn()
    assert sending.transport.written == []
    sending.outgoing.resume()
    assert sending.transport.written == [b"."]


async def test_who_waits_for_room_goes_on_with_it() -> None:
    sending = Sending()
    sending.session.queued[5] = 1 << 20
    assert sending.outgoing.is_full(5)
    assert sending.outgoing.unsent_bytes == (1 << 20) + 7
    waiting = asyncio.ensure_future(sending.outgoing.room(5))
    await turn()
    sending.outgoing.flush()
    await turn()
    assert not waiting.done()
    sending.session.queued[5] = 0
    sending.outgoing.flush()
    await turn()
    assert waiting.done()


@pytest.mark.parametrize("end", ["stream", "connection"])
async def test_nobody_waits_for_room_on_what_is_gone(end: str) -> None:
    sending = Sending()
    sending.session.queued[5] = 1 << 20
    waiting = asyncio.ensure_future(sending.outgoing.room(5))
    await turn()
    if end == "stream":
        sending.outgoing.gone(5)
    else:
        sending.outgoing.end()
    await turn()
    assert waiting.done()


async def test_a_stream_that_is_gone_is_reset_and_a_connection_that_is_broken_is_told() -> None:
    sending = Sending()

    def gone(session: ngh2.Connection) -> None:
        raise ngh2.NGH2Error("no such stream")

    sending.outgoing.send(9, gone)
    await turn()
    assert sending.session.reset == [9]
    sending.session.is_broken = True
    sending.send()
    await turn()
    assert sending.told == ["written", "out of order"]


async def test_nothing_is_sent_after_the_end_and_nobody_is_held() -> None:
    sending = Sending()
    sending.outgoing.end()
    sending.send()
    await turn()
    assert sending.session.ready == b""
    held = weakref.ref(sending)
    outgoing = sending.outgoing
    outgoing.close()
    gc.disable()
    try:
        del sending
        assert held() is None
    finally:
        gc.enable()
