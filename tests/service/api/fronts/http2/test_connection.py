"""A connection against a client whose every frame is decided: what is answered, when, and what ends whom."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import ngh2
import pytest

from cellserve.service.api.fronts.http2 import connection, windows
from cellserve.service.api.fronts.http2.call import Call
from cellserve.service.api.fronts.http2.connection import Connection
from tests.http2_frames import message
from tests.service.api.fronts.fronts import MOST_BYTES, serving, until
from tests.service.api.fronts.http2.client import CALL, GRPC, connected

OK, CANCELLED, INVALID, DEADLINE, EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = (
    code.value[0]
    for code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    )
)


def alive() -> list[Any]:
    """Connections and calls that anything holds."""
    gc.collect()
    return [each for each in gc.get_objects() if type(each) in (Call, Connection)]


# --- answers ---


async def test_a_call_is_answered_with_headers_a_message_and_trailers() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.answer(b"/s.S/Echo", b"hello")
        assert (stream.status, stream.messages, stream.reset) == (OK, [b"hello"], None)
        assert stream.headers[b":status"] == b"200"
        assert stream.headers[b"content-type"] == b"application/grpc"


async def test_an_error_is_trailers_alone() -> None:
    async with serving() as served, connected(served.port) as client:

        async def fail(request: bytes, context: Any) -> bytes:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no é", (("k", "v"), ("d-bin", b"\0\1")))
            raise AssertionError

        served.calls.unary("/s.S/Fail", fail)
        stream = await client.answer(b"/s.S/Fail", b"")
        assert stream.status == grpc.StatusCode.NOT_FOUND.value[0]
        assert stream.headers[b"grpc-message"] == b"no %C3%A9"
        assert (stream.headers[b"k"], stream.headers[b"d-bin"]) == (b"v", b"AAE")
        assert not stream.data
        assert not stream.trailers


async def test_a_method_that_is_not_offered_is_told_without_waiting_for_its_message() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.reply(client.call(b"/s.S/Nothing"))
        assert stream.status == UNIMPLEMENTED
        assert stream.reset == ngh2.ErrorCode.NO_ERROR


async def test_who_is_about_to_speak_is_told_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_MESSAGE_SECONDS", 60.0)
    async with serving() as served, connected(served.port) as client:
        stream_id = client.call(b"/s.S/Nothing")
        assert (await client.answer(b"/s.S/Echo", b"another")).status == OK
        assert client.streams[stream_id].status is None
        client.send(stream_id, message(b"at last"))
        assert (await client.reply(stream_id)).status == UNIMPLEMENTED


async def test_who_is_about_to_speak_is_told_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_MESSAGE_SECONDS", 60.0)
    async with serving() as served, connected(served.port) as client:
        stream_id = client.call(b"/s.S/Nothing")
        assert (await client.answer(b"/s.S/Echo", b"another")).status == OK
        await served.front.stop(0.0)
        await client.until_ended()
        assert client.streams[stream_id].status == UNIMPLEMENTED


async def test_a_call_is_turned_away_from_its_headers_alone() -> None:
    async with serving() as served, connected(served.port) as client:
        served.calls.closed = True
        stream = await client.reply(client.call(b"/s.S/Echo"))
        assert (stream.status, stream.headers[b"why"]) == (EXHAUSTED, b"closed")
        assert not served.calls.begun


async def test_under_overload_who_waits_for_its_message_learns_so_after_half_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is held up, and that of a call without a deadline."""
    monkeypatch.setattr(windows, "_RELAXED_SECONDS", 60.0)
    async with serving() as served, connected(served.port) as client:
        waiting, patient = client.call(b"/s.S/Echo", None, (b"grpc-timeout", b"2S")), client.call(b"/s.S/Echo")
        await client.answer(b"/s.S/Echo", b"")
        served.calls.closed = True
        await client.reply(client.call(b"/s.S/Echo"))

        async def press() -> None:
            while True:
                served.front.press(True)
                await asyncio.sleep(0.01)

        pressing = asyncio.ensure_future(press())
        stream = await client.reply(waiting)
        pressing.cancel()
        assert (stream.status, stream.headers[b"grpc-message"]) == (EXHAUSTED, b"too late")
        client.send(patient, message(b"at last"), end=True)
        assert (await client.reply(patient)).messages == [b"at last"]


@pytest.mark.parametrize("size_bytes", [0, 10, 3_000_000])
async def test_an_answer_before_the_end_of_the_request_arrives_whole_and_then_the_client_is_stopped(size_bytes: int) -> None:
    async with serving() as served, connected(served.port) as client:

        async def early(requests: Any, context: Any) -> Any:
            yield bytes(size_bytes)

        served.calls.stream("/s.S/Early", early)
        stream = await client.reply(client.call(b"/s.S/Early", b"and more to come", end=False))
        assert (stream.status, stream.reset) == (OK, ngh2.ErrorCode.NO_ERROR)
        assert stream.messages == [bytes(size_bytes)]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"server")), b"405"),
        (((b":method", b"HEAD"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"server")), b"405"),
        ((*CALL, (b":path", b"/s.S/Echo")), b"415"),
        ((*CALL, (b":path", b"/s.S/Echo"), (b"content-type", b"application/json")), b"415"),
    ],
)
async def test_what_is_no_call_of_grpc_gets_a_status_of_http(fields: Any, status: bytes) -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.reply(client.request(*fields))
        assert stream.headers == {b":status": status}
        assert (await client.answer(b"/s.S/Echo", b"x")).status == OK


async def test_http_1_is_not_answered_and_ends() -> None:
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
        async with asyncio.timeout(60):
            await reader.read()
        writer.close()


async def test_trailers_of_a_client_end_its_messages() -> None:
    async with serving() as served, connected(served.port) as client:
        stream_id = client.call(b"/s.S/Count", b"one", end=False)
        client.send(stream_id, message(b"two"))
        client.session.send_trailers(stream_id, ((b"x", b"y"),))
        client.flush()
        assert (await client.reply(stream_id)).messages == [b"2"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", UNIMPLEMENTED),
        (message(b"a") + message(b"b"), UNIMPLEMENTED),
        (message(b"abc")[:-1], INVALID),
        (b"\2\0\0\0\0", INTERNAL),
        (b"\1\0\0\0\1x", INTERNAL),
        (b"\0\xff\xff\xff\xff", EXHAUSTED),
    ],
)
async def test_what_is_not_one_message_is_told_and_the_connection_goes_on(data: bytes, status: int) -> None:
    async with serving() as served, connected(served.port) as client:
        stream_id = client.call(b"/s.S/Echo")
        client.send(stream_id, data, end=True)
        assert (await client.reply(stream_id)).status == status
        assert (await client.answer(b"/s.S/Echo", b"x")).messages == [b"x"]
        assert served.calls.begun == ["/s.S/Echo"]


async def test_a_reply_that_cannot_be_written_is_an_error_and_no_silence() -> None:
    """Its serializer fails, or a name of its trailers is none of HTTP/2."""
    async with serving() as served, connected(served.port) as client:

        async def wrong_reply(request: bytes, context: Any) -> Any:
            return "no bytes"

        async def wrong_name(request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata((("Ké y", "a"),))
            return b"fine"

        async def wrong_streamed(requests: Any, context: Any) -> Any:
            yield "no bytes"

        served.calls.unary("/s.S/WrongReply", wrong_reply)
        served.calls.unary("/s.S/WrongName", wrong_name)
        served.calls.stream("/s.S/WrongStreamed", wrong_streamed)
        for method in (b"WrongReply", b"WrongName", b"WrongStreamed"):
            stream = await client.answer(b"/s.S/" + method, b"")
            assert stream.status not in (OK, None) or stream.reset not in (None, 0), method
        assert (await client.answer(b"/s.S/Echo", b"x")).messages == [b"x"]


async def test_a_reply_beyond_the_largest_message_is_refused_as_grpc_does() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.answer(b"/s.S/Zeros", str(MOST_BYTES + 1).encode())
        assert (stream.status, stream.data) == (EXHAUSTED, b"")
        stream = await client.answer(b"/s.S/Many", f"2 {MOST_BYTES + 1}".encode())
        assert (stream.status, stream.data) == (EXHAUSTED, b"")


# --- who leaves ---


async def test_a_cancelled_call_is_cancelled_in_its_handler() -> None:
    async with serving() as served, connected(served.port) as client:
        stream_id = client.call(b"/s.S/Rest", b"")
        await until(lambda: served.calls.begun == ["/s.S/Rest"])
        client.reset(stream_id)
        await until(lambda: served.calls.cancelled == ["/s.S/Rest"])
        assert (await client.answer(b"/s.S/Echo", b"x")).status == OK


async def test_the_deadline_ends_a_call_and_its_handler() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.answer(b"/s.S/Rest", b"", (b"grpc-timeout", b"250m"))
        assert stream.status == DEADLINE
        await until(lambda: served.calls.cancelled == ["/s.S/Rest"])
        assert served.calls.contexts[0].time_remaining() == 0.0


async def test_the_deadline_ends_a_call_whose_message_never_comes() -> None:
    async with serving() as served, connected(served.port) as client:
        stream = await client.reply(client.call(b"/s.S/Echo", None, (b"grpc-timeout", b"20m")))
        assert (stream.status, served.calls.begun) == (DEADLINE, [])


async def test_the_longest_deadline_is_one() -> None:
    async with serving() as served, connected(served.port) as client:
        assert (await client.answer(b"/s.S/Echo", b"x", (b"grpc-timeout", b"99999999H"))).status == OK


async def test_a_lost_connection_cancels_all_and_leaves_nothing() -> None:
    """Calls that wait for their message, rest, stream, wait for room, and have a deadline: no task, no call, no timer stays."""
    async with serving() as served:
        before = asyncio.all_tasks()
        async with connected(served.port, taking=False) as client:
            client.call(b"/s.S/Echo", None, (b"grpc-timeout", b"1H"))
            client.call(b"/s.S/Rest", b"", (b"grpc-timeout", b"1H"))
            client.call(b"/s.S/Rests", b"", end=False)
            client.call(b"/s.S/Echoes", b"x", end=False)
            client.call(b"/s.S/Many", b"1000 100000")
            await until(lambda: len(served.calls.begun) == 4)
            assert len(alive()) == 6
            client.cut()
            await until(lambda: len(served.calls.ended) == 4)
        assert sorted(served.calls.cancelled) == ["/s.S/Echoes", "/s.S/Many", "/s.S/Rest", "/s.S/Rests"]
        served.calls.contexts.clear()

        await until(lambda: not alive())
        assert asyncio.all_tasks() <= before


# --- windows ---


async def test_replies_wait_for_a_window_of_zero_and_leave_when_it_opens() -> None:
    closed = {ngh2.Setting.INITIAL_WINDOW_SIZE: 0}
    async with serving() as served, connected(served.port, closed) as client:
        stream_id = client.call(b"/s.S/Echo", b"hello")
        stream = client.streams[stream_id]
        await client.until(lambda: bool(stream.headers))
        await client.reply(client.call(b"/s.S/Nothing"))
        assert not stream.data
        client.session.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 65535})
        client.flush()
        assert (await client.reply(stream_id)).messages == [b"hello"]


async def test_a_stream_that_is_not_read_makes_no_more_than_a_few_replies() -> None:
    async with serving() as served, connected(served.port, taking=False) as client:
        made = 0

        async def many(request: bytes, context: Any) -> Any:
            nonlocal made
            for _ in range(100):
                made += 1
                yield bytes(50_000)

        served.calls.server_stream("/s.S/Made", many)
        stream_id = client.call(b"/s.S/Made", b"")
        stream = client.streams[stream_id]
        await client.until(lambda: len(stream.data) >= 65535)
        for _ in range(5):
            assert (await client.answer(b"/s.S/Nothing", b"")).status == UNIMPLEMENTED
        assert made < 8
        taken = 0
        while not stream.closed:
            client.take(stream_id, len(stream.data) - taken)
            taken = len(stream.data)
            await client.read()
        assert (made, len(stream.messages), stream.status) == (100, 100, OK)


def taken_once(taking: asyncio.Event) -> Callable[[Any, Any], Awaitable[bytes]]:
    """A handler that takes no message before `taking`; its answer is how many bytes have come."""

    async def late(requests: Any, context: Any) -> bytes:
        await taking.wait()
        return str(sum([len(request) async for request in requests])).encode()

    return late


async def test_a_handler_that_does_not_read_is_sent_no_more_than_a_window() -> None:
    async with serving() as served, connected(served.port) as client:
        taking = asyncio.Event()
        served.calls.client_stream("/s.S/Late", taken_once(taking))
        stream_id = client.call(b"/s.S/Late")
        for _ in range(40):
            client.send(stream_id, message(bytes(100_000)))
        client.session.end_stream(stream_id)
        client.flush()
        left = 40 * 100_005
        for _ in range(5):
            await client.answer(b"/s.S/Echo", b"")
        assert client.session.queued_body_size(stream_id) >= left - (1 << 20) - 65535
        taking.set()
        assert (await client.reply(stream_id)).messages == [b"4000000"]


async def test_handlers_that_do_not_read_hold_up_no_other_call() -> None:
    """Each of them has a window of messages that it does not take, all together more than may wait to be read."""
    async with serving() as served, connected(served.port) as client:
        taking = asyncio.Event()
        served.calls.client_stream("/s.S/Late", taken_once(taking))
        streams = [client.call(b"/s.S/Late") for _ in range(20)]
        for stream_id in streams:
            for _ in range(20):
                client.send(stream_id, message(bytes(50_000)))
            client.session.end_stream(stream_id)
        client.flush()
        assert (await client.answer(b"/s.S/Size", bytes(2_000_000))).messages == [b"2000000"]
        assert (await client.answer(b"/s.S/Size", bytes(2_000_000))).messages == [b"2000000"]
        taking.set()
        for stream_id in streams:
            assert (await client.reply(stream_id)).messages == [b"1000000"]


async def test_little_may_be_on_its_way_that_is_not_read() -> None:
    async with serving() as served, connected(served.port) as client:
        await client.answer(b"/s.S/Echo", b"")
        assert client.session.remote_window_size <= 1 << 22


@pytest.mark.parametrize("how", ["cancelled", "refused", "answered early"])
async def test_the_window_of_the_connection_comes_back_whoever_leaves(how: str) -> None:
    """More goes through than the window of the connection holds, on streams that end while their data are on the way."""
    size_bytes = 900_000
    async with serving(max_message_bytes=1 << 20) as served, connected(served.port) as client:

        async def early(requests: Any, context: Any) -> bytes:
            return b"early"

        served.calls.client_stream("/s.S/Early", early)
        path = {"cancelled": b"/s.S/Rests", "refused": b"/s.S/Nothing", "answered early": b"/s.S/Early"}[how]
        for number in range(3):
            streams = [client.call(path) for _ in range(30)]
            for stream_id in streams:
                client.send(stream_id, message(bytes(size_bytes)))
            if how == "cancelled":
                await until(partial(served.has_begun, 30 * number + 30))
                for stream_id in streams:
                    client.reset(stream_id)
            else:
                for stream_id in streams:
                    await client.reply(stream_id)
        for _ in range(3):
            assert (await client.answer(b"/s.S/Size", bytes(size_bytes))).messages == [str(size_bytes).encode()]


async def test_twelve_megabytes_each_way() -> None:
    async with serving() as served, connected(served.port) as client:
        size_bytes = 12 * 1024 * 1024
        assert (await client.answer(b"/s.S/Size", bytes(size_bytes))).messages == [str(size_bytes).encode()]
        assert (await client.answer(b"/s.S/Zeros", str(size_bytes).encode())).messages == [bytes(size_bytes)]
        stream_id = client.call(b"/s.S/Echoes", bytes(size_bytes), end=True)
        assert (await client.reply(stream_id)).messages == [bytes(size_bytes)]


async def test_streams_beyond_the_most_calls_are_refused_so_that_clients_try_again() -> None:
    async with serving(max_concurrent_calls=2) as served, connected(served.port) as client:
        await client.answer(b"/s.S/Echo", b"")  # the settings have come
        assert client.session.remote_settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] == 2


# --- the end ---


async def test_calls_that_crossed_the_goodbye_are_served_and_the_rest_has_its_grace() -> None:
    async with serving() as served, connected(served.port) as client:
        resting = client.call(b"/s.S/Rest", b"")
        await until(lambda: bool(served.calls.begun))
        stopping = asyncio.create_task(served.front.stop(20.0))
        await asyncio.sleep(0)
        crossed = client.call(b"/s.S/Echo", b"crossed")
        assert (await client.reply(crossed)).messages == [b"crossed"]
        await client.until(lambda: len(client.goaways) == 2)
        assert [each.last_stream_id for each in client.goaways] == [2**31 - 1, crossed]
        served.calls.told_of_rest.set()
        assert (await client.reply(resting)).messages == [b"rested"]
        await client.until_ended()
        async with asyncio.timeout(60):
            await stopping


async def test_calls_beyond_the_grace_end_with_unavailable() -> None:
    async with serving() as served, connected(served.port) as client:
        resting = client.call(b"/s.S/Rest", b"")
        streaming = client.call(b"/s.S/Rests", b"", end=False)
        await until(lambda: len(served.calls.begun) == 2)
        await asyncio.gather(served.front.stop(0.1), client.until_ended())
        assert client.streams[resting].status == UNAVAILABLE
        assert client.streams[streaming].status == UNAVAILABLE
        await until(lambda: len(served.calls.cancelled) == 2)


async def test_a_long_life_leaves_no_trail_of_timers() -> None:
    """Of answers that the client had while it was still sending."""
    async with serving() as served, connected(served.port) as client:
        await client.answer(b"/s.S/Echo", b"x")
        (connection,) = served.front._connections
        before = len(connection._timers)
        for _ in range(3):
            stream = await client.reply(client.call(b"/s.S/Nothing", b"x", end=False))
            assert stream.reset == ngh2.ErrorCode.NO_ERROR
        assert len(connection._timers) == before


async def test_an_old_connection_says_goodbye_lets_its_calls_end_and_closes() -> None:
    async with serving(max_connection_age_seconds=0.05) as served, connected(served.port) as client:
        resting = client.call(b"/s.S/Rest", b"")
        await client.until(lambda: len(client.goaways) == 2)
        served.calls.told_of_rest.set()
        assert (await client.reply(resting)).messages == [b"rested"]
        await client.until_ended()


async def test_an_old_connection_is_cut_after_its_grace() -> None:
    ages = {"max_connection_age_seconds": 0.05, "max_connection_age_grace_seconds": 0.1}
    async with serving(**ages) as served, connected(served.port) as client:
        resting = client.call(b"/s.S/Rest", b"")
        await client.until_ended()
        assert client.streams[resting].status == UNAVAILABLE


async def test_a_client_that_says_goodbye_gets_its_answers() -> None:
    async with serving() as served, connected(served.port) as client:
        resting = client.call(b"/s.S/Rest", b"")
        await until(lambda: bool(served.calls.begun))
        client.raw(b"\0\0\x08\7\0\0\0\0\0" + bytes(8))  # GOAWAY, nothing pushed, no error
        await asyncio.sleep(0.05)
        served.calls.told_of_rest.set()
        assert (await client.reply(resting)).messages == [b"rested"]


# --- pings ---


async def test_a_silent_client_is_pinged_and_stays_if_it_answers() -> None:
    async with serving(keepalive_seconds=0.05, keepalive_timeout_seconds=5.0) as served, connected(served.port) as client:
        await client.until(lambda: client.pings >= 3)
        assert (await client.answer(b"/s.S/Echo", b"x")).messages == [b"x"]


async def test_a_client_that_does_not_answer_a_ping_is_dropped() -> None:
    async with serving(keepalive_seconds=0.05, keepalive_timeout_seconds=0.1) as served, connected(served.port) as client:
        client.call(b"/s.S/Rest", b"")
        await until(lambda: served.calls.cancelled == ["/s.S/Rest"])


async def test_a_connection_that_says_nothing_at_all_is_dropped() -> None:
    async with serving(keepalive_timeout_seconds=0.1) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        async with asyncio.timeout(60):
            await reader.read()
        writer.close()


async def test_a_half_open_connection_is_dropped() -> None:
    """The client has shut its side; nobody answers pings there."""
    async with serving(keepalive_seconds=0.05, keepalive_timeout_seconds=0.1) as served, connected(served.port) as client:
        client.call(b"/s.S/Rest", b"")
        await until(lambda: bool(served.calls.begun))
        client._writer.write_eof()
        await until(lambda: served.calls.cancelled == ["/s.S/Rest"])


async def test_pings_that_measure_while_data_flow_are_let_be() -> None:
    async with serving() as served, connected(served.port) as client:
        for _ in range(200):
            client.ping()
            assert (await client.answer(b"/s.S/Echo", b"x")).status == OK
        assert client.answered_pings == 200


async def test_a_storm_of_idle_pings_is_told_to_calm_down(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, connected(served.port) as client:
        for _ in range(4):
            client.ping()
        await client.until_ended()
        assert [(each.error_code, each.debug_data) for each in client.goaways] == [
            (ngh2.ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")
        ]
        await until(lambda: bool(served.ends))
        assert served.ends == ["pings"]
    assert "(1 pings)" in caplog.text
    assert "flood" not in caplog.text


async def test_what_comes_behind_an_offence_is_not_begun() -> None:
    """In the same packet: the connection has ended by then."""
    async with serving() as served, connected(served.port) as client:
        for _ in range(4):
            client.session.ping()
        for _ in range(3):
            stream_id = client.session.send_request((*CALL, (b":path", b"/s.S/Rests"), *GRPC))
            client.session.send_data(stream_id, message(b""))
        client.flush()
        await client.until_ended()
        await asyncio.sleep(0.05)
        assert len(served.calls.begun) == len(served.calls.ended)


async def test_a_client_that_is_turned_away_and_measures_its_way_there_is_not_cut() -> None:
    async with serving() as served, connected(served.port) as client:
        served.calls.closed = True
        for _ in range(6):
            client.session.ping()
            stream = await client.reply(client.call(b"/s.S/Echo"))
            assert stream.status == EXHAUSTED
