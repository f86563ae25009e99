"""Peers that mean harm, or are broken: each is bounded, its end is counted by its cause, and a good client beside gets answers.

The floods are small, and go over loopback to a front of the test's own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable

import grpc
import pytest

from cellserve.service.api.fronts.http2.connection import Connection
from tests.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    begun,
    call,
    field,
    frame,
    head,
    message,
    reset,
    settings,
    window_update,
)
from tests.service.api.fronts.fronts import Served, serving, until
from tests.service.api.fronts.http2.client import connected
from tests.service.api.fronts.http2.raw import Raw, raw

ECHO, RESTS, ZEROS = b"/s.S/Echo", b"/s.S/Rests", b"/s.S/Zeros"
INITIAL_WINDOW_SIZE = 4
AGREED = PREFACE + settings() + frame(SETTINGS, ACK)  # the server's windows count from now on


def odd(number: int) -> int:
    return 2 * number + 1


async def beside(served: Served) -> None:
    """A good client is answered."""
    async with served.channel() as channel:
        assert await channel.unary_unary("/s.S/Echo")(b"good", timeout=60) == b"good"


async def flood(served: Served, make: Callable[[int], bytes], most: int, at_once: int = 200, before: bytes = b"") -> Raw:
    """Sends `most` frames or more, in portions that are read one by one, until the server has had enough."""
    async with raw(served.port, PREFACE + settings() + before) as peer:
        reading = asyncio.create_task(peer.until_ended())
        for first in range(0, most, at_once):
            await peer.send(b"".join(make(number) for number in range(first, first + at_once)))
            await asyncio.sleep(0)
            if reading.done():
                break
        else:
            assert not reading.done(), "it was told to go"
            peer.writer.write_eof()
        await reading
    return peer


FLOODS: dict[str, tuple[Callable[[int], bytes], bytes, str]] = {
    "resets": (lambda n: begun(odd(n), RESTS) + reset(odd(n)), b"", "flood"),
    "resets before a message": (lambda n: begun(odd(n), ECHO) + reset(odd(n)), b"", "flood"),
    "settings": (lambda n: settings((INITIAL_WINDOW_SIZE, 1000 + n % 2)), b"", "flood"),
    "pings": (lambda n: frame(PING, payload=b"12345678"), b"", "pings"),
    "empty data": (lambda n: frame(DATA, 0, 1), begun(1, RESTS), "flood"),
    "priorities": (lambda n: frame(PRIORITY, 0, odd(n), bytes(5)), b"", "flood"),
    "continuations": (lambda n: frame(CONTINUATION, 0, 1), frame(HEADERS, 0, 1, head(ECHO)), "flood"),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_ends_its_connection_and_no_other(what: str) -> None:
    make, before, cause = FLOODS[what]
    async with serving() as served:
        await flood(served, make, 60_000, before=before)
        await until(lambda: len(served.ends) == 1)
        assert served.ends == [cause]
        await beside(served)
        await until(lambda: len(served.calls.begun) == len(served.calls.ended))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("pings in one packet", frame(PING, payload=b"12345678") * 5000),
        ("settings in one packet", settings() * 5000),
    ],
)
async def test_a_flood_in_one_packet(what: str, data: bytes) -> None:
    async with serving() as served, raw(served.port) as peer:
        await peer.send(data)
        await peer.until_ended()
        await until(lambda: bool(served.ends))
        assert served.ends[0] in ("flood", "pings")
        await beside(served)


OFFENCES = {
    "an update by nothing": window_update(0, 0),
    "an update beyond the largest window": window_update(0, 2**31 - 1),
    "an update beyond the largest window of a stream": begun(1, RESTS) + window_update(1, 2**31 - 1),
    "data on a stream that has not begun": frame(DATA, 0, 1, b"x"),
    "an update on a stream that has not begun": window_update(1, 1),
    "a reset of a stream that has not begun": reset(1),
    "a stream of the server's number": begun(2, ECHO),
    "data on the connection": frame(DATA, 0, 0, b"x"),
    "headers on the connection": frame(HEADERS, END_HEADERS, 0, head(ECHO)),
    "a promise": frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + head(ECHO)),
    "a continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, head(ECHO)),
    "headers that another frame interrupts": frame(HEADERS, 0, 1, head(ECHO)[:10]) + frame(PING, payload=bytes(8)),
    "headers that cannot be unpacked": frame(HEADERS, END_HEADERS, 1, b"\xff" * 20),
    "headers that end early": frame(HEADERS, END_HEADERS, 1, b"\x00\x7f\xff\xff"),
    "a table of headers beyond all measure": frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\xff\x7f" + head(ECHO)),
    "settings of half a value": frame(SETTINGS, payload=bytes(5)),
    "settings with an impossible window": settings((INITIAL_WINDOW_SIZE, 2**31)),
    "settings on a stream": frame(SETTINGS, 0, 1),
    "more settings than there are": settings(*[(INITIAL_WINDOW_SIZE, 1000)] * 100),
    "acknowledged settings that were not sent": frame(SETTINGS, ACK) * 3,
    "a ping of seven bytes": frame(PING, payload=bytes(7)),
    "a reset of three bytes": begun(1, ECHO) + frame(RST_STREAM, 0, 1, bytes(3)),
    "padding longer than the frame": begun(1, ECHO) + frame(DATA, PADDED, 1, b"\xffx"),
    "a frame beyond the largest": begun(1, ECHO) + frame(DATA, 0, 1, bytes((1 << 16) + 1)),
    "more data than the window": begun(1, RESTS) + frame(DATA, 0, 1, message(bytes(16_000))) * 80,
}


@pytest.mark.parametrize("what", OFFENCES)
async def test_an_offence_ends_its_connection_with_a_goodbye(what: str) -> None:
    async with serving() as served:
        async with raw(served.port) as peer:
            await peer.send(OFFENCES[what])
            await peer.until_ended()
            assert peer.goodbyes, what
            assert peer.goodbyes[-1] != 0
        await until(lambda: bool(served.ends))
        assert served.ends[0] in ("protocol", "flood")
        await beside(served)
        await until(lambda: len(served.calls.begun) == len(served.calls.ended))


STREAM_OFFENCES = {
    "upper case": frame(HEADERS, END_HEADERS, 1, head(ECHO, (b"Upper", b"x"))),
    "two paths": frame(HEADERS, END_HEADERS, 1, head(ECHO)[:0] + field(b":path", ECHO) + head(ECHO)),
    "a connection's header": frame(HEADERS, END_HEADERS, 1, head(ECHO, (b"connection", b"close"))),
    "a line break in a value": frame(HEADERS, END_HEADERS, 1, head(ECHO, (b"x", b"a\nb"))),
    "no path": frame(HEADERS, END_HEADERS, 1, field(b":method", b"POST") + field(b":scheme", b"http")),
    "a length that is not kept": begun(1, ECHO, (b"content-length", b"3")) + frame(DATA, END_STREAM, 1, message(b"more")),
}


@pytest.mark.parametrize("what", STREAM_OFFENCES)
async def test_an_offence_on_a_stream_ends_it_and_the_connection_goes_on(what: str) -> None:
    async with serving() as served, raw(served.port) as peer:
        await peer.send(STREAM_OFFENCES[what])
        await peer.until(lambda: bool(peer.of(RST_STREAM, 1)))
        await peer.send(call(3, ECHO, b"good"))
        await peer.until(lambda: bool(peer.of(DATA, 3)))
        assert peer.of(DATA, 3)[0].payload == message(b"good")
        assert not served.ends


async def test_an_offence_behind_an_answered_call_is_one_and_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The call's stream is still open on the client's side when the connection ends."""
    async with serving() as served, raw(served.port) as peer:
        await peer.send(begun(1, b"/s.S/Nothing") + window_update(0, 0))
        await peer.until_ended()
        await until(lambda: served.ends == ["protocol"])
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_offender_that_does_not_read_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """Its goodbye cannot leave; meanwhile calls answer, the server is under pressure, looks after it, and stops."""
    greeting = AGREED + settings((INITIAL_WINDOW_SIZE, 2**31 - 1)) + window_update(0, 2**31 - 1 - 65535)
    async with serving(keepalive_seconds=0.05, keepalive_timeout_seconds=0.5) as served, raw(served.port, greeting) as peer:
        peer.writer.transport.pause_reading()
        await peer.send(b"".join(call(odd(number), ZEROS, b"1000000") for number in range(20)) + begun(101, RESTS))
        await until(lambda: len(served.calls.begun) == 21)
        await peer.send(window_update(0, 0))
        await asyncio.sleep(0.1)
        served.calls.told_of_rest.set()
        served.front.press(True)
        await asyncio.sleep(0.1)
        await beside(served)
        await served.front.stop(0.05)
        await until(lambda: len(served.ends) == 2)
        await until(lambda: len(served.calls.begun) == len(served.calls.ended))
    assert not [record for record in caplog.records if record.exc_info]


async def test_data_on_a_closed_stream_harm_nobody() -> None:
    async with serving() as served, raw(served.port) as peer:
        await peer.send(call(1, ECHO, b"one"))
        await peer.until(lambda: len(peer.of(HEADERS, 1)) == 2)
        await peer.send(
            begun(3, RESTS) + reset(3) + frame(DATA, 0, 3, bytes(1000)) * 50 + begun(3, ECHO) + call(5, ECHO, b"good")
        )
        await peer.until(lambda: bool(peer.of(DATA, 5)))


@pytest.mark.parametrize(
    ("what", "block"),
    [
        ("many fields", head(ECHO) + field(b"a", b"b") * 1000),
        ("a large field", head(ECHO) + field(b"a", b"b" * 60_000) + field(b"b", b"b" * 60_000)),
        ("a field that is named once and repeated", head(ECHO) + b"\x40\x01a\x7f\x81\x1e" + b"v" * 3968 + b"\xbe" * 200),
    ],
)
async def test_bombs_of_headers_are_not_kept(what: str, block: bytes) -> None:
    """Whatever they unpack to: refused, or their connection ends."""
    async with serving() as served, raw(served.port) as peer:
        pieces = [block[first : first + 16_000] for first in range(0, len(block), 16_000)]
        await peer.send(frame(HEADERS, 0, 1, pieces[0]))
        for piece in pieces[1:]:
            await peer.send(frame(CONTINUATION, 0, 1, piece))
        await peer.send(frame(CONTINUATION, END_HEADERS, 1))
        async with asyncio.timeout(60):
            while not peer.ended and not peer.of(HEADERS, 1) and not peer.of(RST_STREAM, 1):
                await peer.read()
        assert not served.calls.begun
        await beside(served)


async def test_headers_larger_than_grpc_takes_are_refused_in_words() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.answer(ECHO, b"x", *((b"key", b"v" * 1000) for _ in range(20)))
        assert stream.status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert (await client.answer(ECHO, b"x")).status == 0


# --- what clients make the server hold ---

HELD_BYTES = 8 * 1024 * 1024


async def test_replies_to_windows_of_zero_are_bounded() -> None:
    """On many streams: each reply is queued, none can leave."""
    async with serving(connection_memory_bytes=HELD_BYTES) as served:
        async with raw(served.port, PREFACE + settings((INITIAL_WINDOW_SIZE, 0))) as peer:
            for number in range(100):
                await peer.send(call(odd(number), ZEROS, b"200000"))
            await peer.until_ended()
        await until(lambda: bool(served.ends))
        assert served.ends == ["memory"]
        await beside(served)


async def test_replies_that_nobody_reads_from_the_socket_are_bounded() -> None:
    greeting = PREFACE + settings((INITIAL_WINDOW_SIZE, 2**31 - 1)) + window_update(0, 2**31 - 1 - 65535)
    async with serving(connection_memory_bytes=HELD_BYTES) as served, raw(served.port, greeting) as peer:
        peer.writer.transport.pause_reading()
        for number in range(100):
            await peer.send(call(odd(number), ZEROS, b"1000000"))
        await until(lambda: served.ends == ["memory"])
        await beside(served)


async def test_requests_that_never_end_are_bounded() -> None:
    async with serving(connection_memory_bytes=HELD_BYTES) as served, raw(served.port, AGREED) as peer:
        for number in range(100):
            await peer.send(begun(odd(number), ECHO) + frame(DATA, 0, odd(number), b"\0\0\x0f\xff\xff" + bytes(10_000)))
            await peer.send(frame(DATA, 0, odd(number), bytes(16_000)) * 15)
        await until(lambda: served.ends == ["memory"])
        await beside(served)


async def test_messages_that_no_handler_takes_are_bounded_by_their_windows_and_in_all() -> None:
    async with serving(connection_memory_bytes=HELD_BYTES) as served, raw(served.port, AGREED) as peer:
        for number in range(40):
            await peer.send(begun(odd(number), RESTS) + frame(DATA, 0, odd(number), message(bytes(16_000))) * 60)
        await until(lambda: served.ends == ["memory"])
        await beside(served)


async def test_many_connections_share_one_bound_and_the_greediest_goes_first() -> None:
    """None of them alone holds too much."""
    async with serving(connection_memory_bytes=HELD_BYTES) as served:
        closed = PREFACE + settings((INITIAL_WINDOW_SIZE, 0))
        peers = [raw(served.port, closed) for _ in range(10)]
        opened = [await peer.__aenter__() for peer in peers]
        await opened[0].send(call(1, ZEROS, b"3000000"))
        for peer in opened[1:]:
            await peer.send(call(1, ZEROS, b"1000000"))
        for peer in opened:
            await peer.send(call(3, ZEROS, b"10"))
        async with connected(served.port) as client:
            for _ in range(4):
                assert (await client.answer(ECHO, bytes(500_000))).status == 0  # what moves has all looked at
        await until(lambda: "memory" in served.ends)
        await opened[0].until_ended()
        assert served.ends.count("memory") < 6
        await beside(served)
        for peer in peers:
            await peer.__aexit__(None, None, None)


async def test_what_a_connection_held_is_given_back_at_once() -> None:
    """Without the garbage collector."""
    async with serving() as served:
        gc.collect()
        gc.disable()
        try:
            async with raw(served.port, PREFACE + settings((INITIAL_WINDOW_SIZE, 0))) as peer:
                await peer.send(call(1, ZEROS, b"1000000") + call(3, RESTS, b"") + call(5, b"/s.S/Many", b"10 100000"))
                await until(lambda: len(served.calls.begun) == 3)
                (connection,) = [weakref.ref(each) for each in gc.get_objects() if type(each) is Connection]
            await until(lambda: len(served.calls.ended) == 3)
            served.calls.contexts.clear()
            await until(lambda: connection() is None)
        finally:
            gc.enable()


# --- honest clients ---


async def test_clients_that_give_up_many_calls_stay() -> None:
    """As those do that ask twice and take the first answer: thousands in a second."""
    async with serving() as served, raw(served.port) as peer:
        reading = asyncio.create_task(peer.until(lambda: bool(peer.of(DATA, odd(15_000)))))
        for first in range(0, 15_000, 100):
            await peer.send(b"".join(call(odd(n), b"/s.S/Rest", b"x") + reset(odd(n)) for n in range(first, first + 100)))
        await peer.send(call(odd(15_000), ECHO, b"good"))
        await reading
        assert not served.ends


async def test_many_large_requests_at_a_time_are_all_answered() -> None:
    async with serving() as served, served.channel() as channel:
        sizes = await asyncio.gather(*(channel.unary_unary("/s.S/Size")(bytes(6_000_000), timeout=60) for _ in range(16)))
        assert sizes == [b"6000000"] * 16
        assert not served.ends


# --- told and counted ---


async def test_connections_that_are_opened_and_left_leave_nothing() -> None:
    async with serving() as served:
        for _ in range(100):
            async with raw(served.port) as peer:
                await peer.send(begun(1, RESTS))
        await until(lambda: len(served.ends) == 100)
        assert set(served.ends) == {"client"}
        assert served.connections[-1].open_connections == 0
        await until(lambda: len(served.calls.begun) == len(served.calls.ended))


async def test_a_port_scan_is_counted_as_such() -> None:
    async with serving() as served:
        for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n"):
            async with raw(served.port, greeting) as peer:
                await peer.until_ended()
        await until(lambda: len(served.ends) == 3)
        assert served.ends == ["not_http2"] * 3


async def test_a_storm_is_told_in_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with serving() as served:
            for _ in range(50):
                async with raw(served.port) as peer:
                    await peer.send(window_update(0, 0))
                    await peer.until_ended()
            await until(lambda: len(served.ends) == 50)
    told = [record for record in caplog.records if "ended for what their clients did" in record.message]
    assert 1 <= len(told) < 10
    assert "1 protocol" in told[0].message


async def test_who_is_silent_is_counted_as_such() -> None:
    async with serving(keepalive_seconds=0.02, keepalive_timeout_seconds=0.05) as served, raw(served.port) as peer:
        await peer.until(lambda: any(frame.kind == PING for frame in peer.frames))
        await peer.until_ended()
        await until(lambda: served.ends == ["silent"])


async def test_a_goodbye_of_the_server_is_counted_as_such() -> None:
    async with serving(max_connection_age_seconds=0.02) as served, raw(served.port) as peer:
        await peer.until_ended()
        await until(lambda: served.ends == ["server"])
