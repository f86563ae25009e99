"""One call on a wire that writes down what it is asked to send."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from cellserve.service.api.fronts.http2.call import Call
from cellserve.service.api.fronts.http2.headers import RequestHead
from cellserve.service.api.fronts.http2.messages import prefix


class Wire:
    """A Wire. sent: what was asked for, in order."""

    peer = "ipv4:127.0.0.1:1"

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.acknowledged = 0

    def send_headers(self, stream_id: int, fields: Any) -> None:
        self.sent.append(("headers", dict(fields)))

    def send_message(self, stream_id: int, message: bytes) -> None:
        self.sent.append(("message", message))

    def send_trailers(self, stream_id: int, fields: Any) -> None:
        self.sent.append(("trailers", dict(fields)))

    def send_unary(self, stream_id: int, message: bytes, trailers: Any) -> None:
        self.sent.append(("unary", (message, dict(trailers))))

    def send_only_trailers(self, stream_id: int, fields: Any) -> None:
        self.sent.append(("only trailers", dict(fields)))

    def acknowledge(self, stream_id: int, received_bytes: int) -> None:
        self.acknowledged += received_bytes

    def ready(self, call: Call) -> None:
        call.start()

    async def room_to_send(self, stream_id: int) -> None:
        await asyncio.sleep(0)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


def call_of(wire: Wire, timeout_seconds: float | None = None) -> Call:
    return Call(wire, 1, RequestHead("/s.S/M", timeout_seconds, b"identity", (("k", "v"),)), 1000, asyncio.get_running_loop())


def framed(message: bytes) -> bytes:
    return prefix(len(message)) + message


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_initial_metadata_go_before_everything() -> None:
    async def behave(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("first", "1"),))
        await context.send_initial_metadata((("second", "2"),))
        context.set_trailing_metadata((("last", "3"),))
        return request

    wire = Wire()
    call = call_of(wire)
    call.begin(grpc.unary_unary_rpc_method_handler(behave))
    call.feed(framed(b"x"))
    call.end_of_messages()
    await turns()
    assert wire.kinds == ["headers", "message", "trailers"]
    assert wire.sent[0][1][b"first"] == b"1"
    assert b"second" not in wire.sent[0][1]
    assert wire.sent[2][1] == {b"grpc-status": b"0", b"last": b"3"}


async def test_what_the_context_tells() -> None:
    seen: list[Any] = []

    async def behave(request: bytes, context: Any) -> bytes:
        seen.extend((context.peer(), context.invocation_metadata(), context.time_remaining(), context.code()))
        context.set_trailing_metadata((("a", "b"),))
        seen.append(context.trailing_metadata())
        return b""

    call = call_of(Wire())
    call.begin(grpc.unary_unary_rpc_method_handler(behave))
    call.feed(framed(b""))
    call.end_of_messages()
    await turns()
    assert seen == ["ipv4:127.0.0.1:1", (("k", "v"),), None, None, (("a", "b"),)]


async def test_a_status_that_was_set_is_told_without_a_reply() -> None:
    async def behave(request: bytes, context: Any) -> None:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_details("none")

    wire = Wire()
    call = call_of(wire)
    call.begin(grpc.unary_unary_rpc_method_handler(behave))
    call.feed(framed(b""))
    call.end_of_messages()
    await turns()
    assert wire.kinds == ["only trailers"]
    assert wire.sent[0][1][b"grpc-status"] == b"5"


async def test_an_exception_reaches_the_client_as_one_neutral_sentence() -> None:
    async def behave(request: bytes, context: Any) -> bytes:
        raise ValueError("a secret")

    wire = Wire()
    call = call_of(wire)
    call.begin(grpc.unary_unary_rpc_method_handler(behave))
    call.feed(framed(b""))
    call.end_of_messages()
    await turns()
    assert wire.sent[0][1][b"grpc-status"] == b"2"
    assert b"secret" not in wire.sent[0][1][b"grpc-message"]


async def test_an_abort_on_a_stream_ends_it_after_what_was_sent() -> None:
    async def behave(requests: Any, context: Any) -> Any:
        async for request in requests:
            yield request
        await context.abort(grpc.StatusCode.ABORTED, "enough", (("t", "u"),))

    wire = Wire()
    call = call_of(wire)
    call.begin(grpc.stream_stream_rpc_method_handler(behave))
    call.feed(framed(b"x") + framed(b"y"))
    call.end_of_messages()
    await turns()
    await turns()
    assert wire.kinds == ["headers", "message", "message", "trailers"]
    assert wire.sent[-1][1] == {b"grpc-status": b"10", b"grpc-message": b"enough", b"t": b"u"}


async def test_a_call_ends_once() -> None:
    wire = Wire()
    call = call_of(wire)
    call.finish(grpc.StatusCode.NOT_FOUND, "first")
    call.finish(grpc.StatusCode.OK, "second")
    call.cut()
    assert len(wire.sent) == 1
    assert call.is_over


async def test_what_a_call_holds_is_counted_until_it_is_taken_or_dropped() -> None:
    wire = Wire()
    unary, stream = call_of(wire), call_of(wire)

    async def rest(requests: Any, context: Any) -> Any:
        await asyncio.Event().wait()
        yield b""

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    unary.begin(grpc.unary_unary_rpc_method_handler(echo))
    unary.feed(framed(bytes(100))[:50])
    assert unary.held_bytes == 50
    unary.feed(framed(bytes(100))[50:])
    assert unary.held_bytes == 100
    unary.end_of_messages()
    assert unary.held_bytes == 0
    stream.begin(grpc.stream_stream_rpc_method_handler(rest))
    stream.feed(framed(bytes(100)) * 2 + b"\0")
    assert stream.held_bytes == 201
    stream.cut()
    assert stream.held_bytes <= 1
    await turns()


async def test_a_call_that_is_over_when_its_turn_comes_does_not_begin_and_keeps_nothing() -> None:
    begun: list[bytes] = []

    async def behave(request: bytes, context: Any) -> bytes:
        begun.append(request)
        return request

    class Waiting(Wire):
        def ready(self, call: Call) -> None:
            self.sent.append(("ready", call.held_bytes))

    wire = Waiting()
    call = call_of(wire)
    call.begin(grpc.unary_unary_rpc_method_handler(behave))
    call.feed(framed(b"xyz"))
    call.end_of_messages()
    assert wire.sent == [("ready", 3)]
    call.cut()
    assert call.held_bytes == 0
    call.start()
    await turns()
    assert begun == []
