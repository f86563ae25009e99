"""Writes that go together, and what each is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cellserve.service.errors import StoreUnavailable
from cellserve.service.sessions.stores.store import NOTHING, Write
from cellserve.service.sessions.stores.turns import Turns
from cellserve.service.sessions.tombstones import SessionKey


def write(name: str, content: bytes = b"") -> Write:
    return Write(SessionKey("m", name), content, NOTHING, None)


class Flushes:
    """gate: what each flush waits for; failure: what it then raises."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, writes: Sequence[Write]) -> list[bytes | None]:
        self.seen.append([each.key.session_id for each in writes])
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [each.key.session_id.encode() for each in writes]


async def test_those_of_one_turn_go_together_and_so_do_those_that_come_meanwhile() -> None:
    flushes = Flushes()
    turns = Turns(flushes)
    tasks = [asyncio.create_task(turns.write(write(name))) for name in "abc"]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(turns.write(write(name))) for name in "de"]
    await asyncio.sleep(0.01)
    flushes.gate.set()
    assert await asyncio.gather(*tasks) == [b"a", b"b", b"c", b"d", b"e"]
    assert flushes.seen == [["a", "b", "c"], ["d", "e"]]


async def test_a_failure_is_told_to_all_and_the_next_is_tried() -> None:
    flushes = Flushes()
    turns = Turns(flushes)
    flushes.failure = StoreUnavailable("away")
    flushes.gate.set()
    done = await asyncio.gather(*(turns.write(write(name)) for name in "ab"), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in done)
    flushes.failure = None
    assert await turns.write(write("c")) == b"c"


async def test_one_that_is_given_up_hinders_nobody() -> None:
    flushes = Flushes()
    turns = Turns(flushes)
    tasks = [asyncio.create_task(turns.write(write(name))) for name in "ab"]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    flushes.gate.set()
    assert await tasks[1] == b"b"
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await turns.settle()


async def test_more_than_one_call_should_carry_are_several() -> None:
    flushes = Flushes()
    flushes.gate.set()
    turns = Turns(flushes)
    names = [str(number) for number in range(600)]
    assert await asyncio.gather(*(turns.write(write(name)) for name in names)) == [name.encode() for name in names]
    assert [len(each) for each in flushes.seen] == [256, 256, 88]
    large = [turns.write(write(name, bytes(5 << 20))) for name in "abc"]
    await asyncio.gather(*large)
    assert flushes.seen[3:] == [["a", "b"], ["c"]]
