"""TLS in front of the frames: handshakes that fail, never end, or are under way when the server stops."""

from __future__ import annotations

import asyncio
import ssl

import grpc
import pytest

from tests.http2_frames import PREFACE, call, settings
from tests.service.api.fronts.fronts import Served, serving, until
from tests.service.api.fronts.http2.raw import Raw, raw
from tests.service.tls import AUTHORITY, certificate, files_of, key


def context(*protocols: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(AUTHORITY))
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made


async def asked(served: Served, credentials: grpc.ChannelCredentials) -> bytes:
    async with grpc.aio.secure_channel(f"localhost:{served.port}", credentials) as channel:
        reply: bytes = await channel.unary_unary("/s.S/Echo")(b"hello", timeout=60)
        return reply


async def test_calls_come_through_tls() -> None:
    async with serving(tls=files_of("server")) as served:
        assert await asked(served, grpc.ssl_channel_credentials(AUTHORITY.read_bytes())) == b"hello"
        await until(lambda: served.ends == ["client"])


async def test_what_comes_right_behind_the_handshake_is_not_lost() -> None:
    """A client that sends its first call at once, without waiting for the server's word."""
    async with serving(tls=files_of("server")) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context("h2"), server_hostname="localhost")
        peer = Raw(reader, writer)
        await peer.send(PREFACE + settings() + call(1, b"/s.S/Echo", b"early"))
        await peer.until(lambda: bool(peer.of(0, 1)))
        assert peer.of(0, 1)[0].payload.endswith(b"early")
        writer.transport.abort()
        await until(lambda: bool(served.ends))


async def test_a_client_that_does_not_offer_http_2_is_ended_and_counted() -> None:
    async with serving(tls=files_of("server")) as served:
        for protocols in ((), ("http/1.1",)):
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", served.port, ssl=context(*protocols), server_hostname="localhost"
                )
                writer.transport.abort()
            except (OSError, ssl.SSLError):
                continue
        await until(lambda: served.ends == ["handshake"] * 2)


async def test_plain_text_at_a_port_of_tls_is_ended_and_counted() -> None:
    async with serving(tls=files_of("server")) as served, raw(served.port) as peer:
        await peer.until_ended()
        await until(lambda: served.ends == ["handshake"])
        assert await asked(served, grpc.ssl_channel_credentials(AUTHORITY.read_bytes())) == b"hello"


async def test_a_client_without_a_certificate_does_not_get_in_where_one_is_asked_for() -> None:
    async with serving(tls=files_of("server", AUTHORITY)) as served:
        bare = grpc.ssl_channel_credentials(AUTHORITY.read_bytes())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked(served, bare)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await until(lambda: "handshake" in served.ends)
        own = grpc.ssl_channel_credentials(AUTHORITY.read_bytes(), key("client").read_bytes(), certificate("client").read_bytes())
        assert await asked(served, own) == b"hello"


async def test_a_handshake_that_is_under_way_ends_with_the_server() -> None:
    async with serving(tls=files_of("server")) as served, raw(served.port, b"") as peer:
        await until(lambda: bool(served.front._encrypted[0].handshakes))
        await served.front.stop(0.1)
        await peer.until_ended()
        await until(lambda: served.ends == ["handshake"])
        assert not served.front._encrypted[0].handshakes
