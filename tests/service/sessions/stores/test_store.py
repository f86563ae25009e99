"""What every store must do, asked of the one in memory and of a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from valkey.asyncio import Valkey

from cellserve.service.errors import StoreUnavailable
from cellserve.service.sessions.stores import connecting
from cellserve.service.sessions.stores.record import Kind
from cellserve.service.sessions.stores.store import NOTHING, RUN_BYTES, STAMP_BYTES, Store, Write
from cellserve.service.sessions.stores.valkey_store import ValkeyStore
from cellserve.service.sessions.tombstones import SessionKey
from cellserve.service.store_url import StoreUrl
from tests.fakes import FakeClock
from tests.service.sessions.stores.memory import MemoryStore
from tests.service.valkey_server import ValkeyServer, binary, valkey

ROOT = Path(__file__).parents[4]
A, B, C = (SessionKey("m", name) for name in "abc")
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """With room for two live records."""
    if request.param == "memory":
        yield MemoryStore(FakeClock(), most=2)
        return
    url = StoreUrl.parse(request.getfixturevalue("server").url)
    assert url is not None
    there = ValkeyStore(url, f"test {next(numbers)}", most=2)
    await there.start()
    yield there
    await there.stop()


def content(text: str = "", kind: Kind = Kind.LIVE) -> bytes:
    """A record without its run, unlike any other."""
    return next(numbers).to_bytes(STAMP_BYTES - RUN_BYTES - 1, "big") + bytes([kind]) + text.encode()


def write(key: SessionKey, expected: bytes = NOTHING, seconds: float | None = 100.0, **how: object) -> Write:
    return Write(key, how.pop("content", None) or content(), expected, seconds, **how)  # type: ignore[arg-type]


async def test_a_record_is_what_was_written(store: Store) -> None:
    assert (await store.load(A)).content is None
    record = content("any bytes \0\r\n")
    stamp = await store.write(write(A, content=record, seconds=None))
    found = await store.load(A)
    assert found.content == found.run + record
    assert stamp == found.content[:STAMP_BYTES]
    assert found.seconds is None


async def test_it_is_replaced_by_whoever_knows_it_and_by_nobody_else(store: Store) -> None:
    first = await store.write(write(A))
    assert first is not None
    assert await store.write(write(A)) is None
    second = await store.write(write(A, first))
    assert second is not None
    assert await store.write(write(A, first)) is None
    assert ((await store.load(A)).content or b"")[:STAMP_BYTES] == second


async def test_of_writes_at_once_one_counts(store: Store) -> None:
    first = await store.write(write(A))
    assert first is not None
    done = await asyncio.gather(*(store.write(write(A, first)) for _ in range(20)), store.write(write(B)))
    assert sum(stamp is not None for stamp in done[:-1]) == 1
    assert done[-1] is not None


async def test_what_has_ended_makes_place_for_a_beginning_but_not_for_a_feed(store: Store) -> None:
    first = await store.write(write(A))
    assert first is not None
    ended = await store.write(write(A, first, content=content(kind=Kind.ENDED)))
    assert ended is not None
    assert await store.write(write(A, first)) is None
    assert await store.write(write(A)) is not None


async def test_how_long_it_counts_is_told_and_begins_anew_with_each_write(store: Store) -> None:
    first = await store.write(write(A, seconds=5.0))
    assert first is not None
    assert 4.0 < ((await store.load(A)).seconds or 0) <= 5.0
    await store.write(write(A, first, seconds=50.0))
    assert 49.0 < ((await store.load(A)).seconds or 0) <= 50.0


async def test_what_is_over_is_told_as_over_and_not_listed(store: Store) -> None:
    await store.write(write(A, seconds=0.0))
    found = await store.load(A)
    assert found.content is not None
    assert found.seconds is not None
    assert found.seconds <= 0
    assert await store.listed(10) == []


async def test_what_is_over_is_replaced_by_a_beginning_alone(store: Store) -> None:
    stamp = await store.write(write(A, seconds=0.0))
    assert stamp is not None
    assert await store.write(write(A, stamp)) is None
    assert await store.write(write(A, stamp, begins=True)) is not None


async def test_the_first_to_expire_makes_place_for_one_that_begins(store: Store) -> None:
    first = await store.write(write(A, seconds=10.0, begins=True))
    assert first is not None
    await store.write(write(B, seconds=20.0, begins=True))
    await store.write(write(C, seconds=30.0, begins=True))
    evicted = (await store.load(A)).content or b""
    assert evicted[STAMP_BYTES - 1] == Kind.EVICTED
    assert await store.write(write(A, first)) is None
    assert len(await store.listed(10)) == 2


async def test_one_that_is_over_makes_place_before_one_that_is_not(store: Store) -> None:
    await store.write(write(A, seconds=0.0, begins=True))
    await store.write(write(B, seconds=20.0, begins=True))
    await store.write(write(C, seconds=30.0, begins=True))
    assert ((await store.load(B)).content or b"")[STAMP_BYTES - 1] == Kind.LIVE


async def test_the_heads_of_live_records_are_listed(store: Store) -> None:
    stamps = {await store.write(write(A, content=content("abcdef"))), await store.write(write(B, content=content("ab")))}
    await store.write(write(C, content=content("gone", Kind.ENDED)))
    assert {each.head for each in await store.listed(STAMP_BYTES)} == stamps


async def test_nothing_is_above_another_prefix(server: ValkeyServer) -> None:
    url = StoreUrl.parse(server.url)
    assert url is not None
    stores = [ValkeyStore(url, prefix, most=1) for prefix in ("east", "west")]
    for each in stores:
        await each.start()
        await each.write(write(A, begins=True))
    assert [len(await each.listed(10)) for each in stores] == [1, 1]
    for each in stores:
        await each.stop()


async def test_the_same_write_sent_twice_counts_once(server: ValkeyServer) -> None:
    """As a client does whose connection broke before the answer came."""
    url = StoreUrl.parse(server.url)
    assert url is not None
    store = ValkeyStore(url, "twice", most=0)
    await store.start()
    first = await store.write(write(A))
    assert first is not None
    again = write(A, first)
    assert await store.write(again) == await store.write(again) != first
    await store.stop()


async def test_a_user_with_no_more_rights_than_the_documentation_says_can_do_all_of_it(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    document = (ROOT / "docs" / "cluster.md").read_text()
    rights = re.findall(r"ACL SETUSER (cellserve on >password [^`]+)", document)[0].split()
    with valkey(tmp_path) as server:
        administrator = Valkey(port=server.port)
        await administrator.execute_command("ACL", "SETUSER", *rights)
        url = StoreUrl.parse(f"valkey://cellserve:password@127.0.0.1:{server.port}")
        assert url is not None
        store = ValkeyStore(url, "cellserve", most=1)
        await store.start()
        assert store.watch.reason is None
        stamp = await store.write(write(A, begins=True))
        assert stamp is not None
        await store.write(write(B, begins=True))
        assert ((await store.load(A)).content or b"")[STAMP_BYTES - 1] == Kind.EVICTED
        assert await store.write(write(A, content=content(kind=Kind.ENDED), begins=True)) is not None
        assert len(await store.listed(10)) == 1
        await administrator.script_flush()
        assert await store.write(write(C, begins=True)) is not None
        await store.stop()
        await administrator.aclose()


async def test_a_wrong_password_is_told_and_stops_no_start(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    with valkey(tmp_path, requirepass="right") as server:
        store = ValkeyStore(StoreUrl((("127.0.0.1", server.port),), password="wrong"), "p", most=0)
        await store.start()
        assert "invalid username-password" in (store.watch.reason or "")
        with pytest.raises(StoreUnavailable, match="invalid username-password"):
            await store.load(A)
        await store.stop()


async def test_the_master_is_found_through_sentinels(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    with valkey(tmp_path / "master", requirepass="secret") as master:
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel auth-pass main secret\n")
        with valkey(tmp_path / "sentinel", configuration) as sentinel:
            url = StoreUrl.parse(f"valkey+sentinel://:secret@127.0.0.1:{sentinel.port}/main")
            assert url is not None
            store = ValkeyStore(url, "p", most=0)
            await store.start()
            assert store.watch.reason is None
            assert await store.write(write(A)) is not None
            assert (await store.load(A)).content is not None
            await store.stop()


async def test_a_store_that_was_killed_and_is_back_is_another_run(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip("no Valkey on this machine")
    with valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        url = StoreUrl.parse(server.url)
        assert url is not None
        store = ValkeyStore(url, "run", most=0)
        changes: list[str | None] = []
        store.watch.on_change = lambda: changes.append(store.watch.reason)
        await store.start()
        stamp = await store.write(write(A))
        assert stamp is not None
        before = await store.load(A)
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.write(write(A, stamp))
        with pytest.raises(StoreUnavailable):  # at once, without asking
            await store.load(A)
        server.start()
        while store.watch.reason is not None:
            await asyncio.sleep(0.02)
        after = await store.load(A)
        assert after.content == before.content
        assert after.run != before.run
        assert await store.write(write(A, stamp)) is None
        assert await store.write(write(A, stamp, accepts=True)) is not None
        assert [reason is None for reason in changes] == [False, True]
        await store.stop()


async def test_a_store_that_is_not_there_stops_no_start() -> None:
    store = ValkeyStore(StoreUrl((("127.0.0.1", 1),)), "p", most=0)
    await store.start()
    assert store.watch.reason is not None
    with pytest.raises(StoreUnavailable, match="whole sequences"):
        await store.load(A)
    await store.stop()


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_store_that_takes_what_is_sent_and_says_nothing_is_away(greeted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while sent := await reader.read(4096):
            asked.append(sent)
            if greeted and b"SCRIPT" not in sent:
                writer.write(b"+OK\r\n" * sent.count(b"CLIENT"))
        writer.close()

    monkeypatch.setattr(connecting, "_ANSWER_SECONDS", 0.05)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    store = ValkeyStore(StoreUrl((server.sockets[0].getsockname(),)), "p", most=0)
    await store.start()
    assert "no answer in 0.05 s" in (store.watch.reason or "")
    assert any(b"SCRIPT" in each for each in asked) == greeted
    await store.stop()
    server.close()
    await server.wait_closed()


class Lost:
    """A client of the store whose connection uvloop has closed."""

    async def script_load(self, script: str) -> str:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed")


async def test_a_connection_that_is_lost_while_it_is_written_to_is_a_store_that_is_away() -> None:
    url = StoreUrl.parse("valkey://127.0.0.1:1")
    assert url is not None
    store = ValkeyStore(url, "run", most=0)
    store._client = Lost()
    try:
        with pytest.raises(StoreUnavailable, match="the handler is closed"):
            await store.load(A)
        assert store.watch.reason is not None
    finally:
        await store.stop()


async def test_calls_at_once_survive_a_store_that_has_forgotten_the_scripts(server: ValkeyServer) -> None:
    url = StoreUrl.parse(server.url)
    assert url is not None
    store = ValkeyStore(url, "forgotten", most=0)
    await store.start()
    assert await store.write(write(A)) is not None
    there = [found.content for found in await asyncio.gather(*(store.load(A) for _ in range(8)))]
    administrator = Valkey(port=server.port)
    await administrator.script_flush()
    assert [found.content for found in await asyncio.gather(*(store.load(A) for _ in range(8)))] == there
    assert await store.write(write(B)) is not None
    await administrator.aclose()
    await store.stop()
