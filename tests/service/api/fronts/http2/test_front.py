"""The front: its port, its pressure, its end."""

from __future__ import annotations

import asyncio

import pytest

from cellserve.service.api.fronts.http2.front import Http2Front
from cellserve.service.api.fronts.options import CannotListen, ServerOptions
from tests.service.api.fronts.calls import usual
from tests.service.api.fronts.fronts import Watching, serving, until
from tests.service.api.fronts.http2.client import connected


async def test_a_second_front_on_the_port_is_told() -> None:
    async with serving() as served:
        second = Http2Front(usual(), ServerOptions("127.0.0.1", served.port, 1000), Watching())
        with pytest.raises(CannotListen, match="the port is taken"):
            second.bind()


async def test_many_connections_at_once_all_get_in() -> None:
    """More than the hundred that asyncio would let wait."""
    async with serving() as served:
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", served.port) for _ in range(300)))
        await until(lambda: len(served.connections) == 300)
        assert served.connections[-1].open_connections == 300
        for _, writer in opened:
            writer.transport.abort()
        await until(lambda: len(served.ends) == 300)


async def test_a_stop_closes_idle_connections_and_takes_no_new_ones() -> None:
    async with serving() as served, connected(served.port) as client:
        assert (await client.answer(b"/s.S/Echo", b"x")).status == 0
        async with asyncio.timeout(60):
            await asyncio.gather(served.front.stop(5.0), client.until_ended())
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", served.port)
        assert served.ends == ["server"]


async def test_pressure_comes_and_goes_while_connections_end() -> None:
    """Clients that leave, are told to leave, or have just come."""
    async with serving(max_connection_age_seconds=0.05, max_connection_age_grace_seconds=0.1) as served:
        for number in range(30):
            async with connected(served.port) as client:
                served.front.press(number % 2 == 0)
                assert (await client.answer(b"/s.S/Echo", bytes(100_000))).status == 0
                await asyncio.sleep(0.004 * number)
                served.front.press(number % 3 == 0)


async def test_a_call_under_pressure_is_let_in_with_all_its_messages() -> None:
    async with serving() as served, connected(served.port) as client:
        served.front.press(True)
        for _ in range(3):
            assert (await client.answer(b"/s.S/Size", bytes(3_000_000))).messages == [b"3000000"]
        under_way = client.call(b"/s.S/Count", b"x", end=False)
        served.front.press(True)
        client.send(under_way, b"\0\0\0\0\1y" * 1000, end=True)
        assert (await client.reply(under_way)).messages == [b"1001"]
