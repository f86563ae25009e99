"""What a request is the first to need is prepared beside the event loop, once for all who ask for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event

import pytest

from cellserve.service.api.submission.preparations import Preparations
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Unprepared, Way

LIMIT_SECONDS = 60


def missing(prepare: Callable[[Way], None], implementation: str = "fused") -> Unprepared:
    return Unprepared(VersionKey("digits", 1), Way(implementation, False), prepare)


async def test_the_loop_goes_on_and_it_is_prepared_once() -> None:
    go_on, asked = Event(), list[Way]()

    def prepare(way: Way) -> None:
        asked.append(way)
        assert go_on.wait(LIMIT_SECONDS)

    preparations = Preparations()
    waiting = [asyncio.create_task(preparations.prepare(missing(prepare))) for _ in range(3)]
    other = asyncio.create_task(preparations.prepare(missing(asked.append, "2")))
    await other
    assert not any(task.done() for task in waiting)
    go_on.set()
    await asyncio.gather(*waiting)
    assert sorted(asked) == [Way("2", False), Way("fused", False)]


async def test_who_is_cancelled_leaves_it_to_the_others() -> None:
    go_on = Event()
    preparations = Preparations()
    first, second = (asyncio.create_task(preparations.prepare(missing(lambda way: assert_set(go_on)))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert not second.done()
    go_on.set()
    await second


def assert_set(event: Event) -> None:
    assert event.wait(LIMIT_SECONDS)


async def test_what_goes_wrong_is_told_to_each_and_tried_again() -> None:
    asked: list[Way] = []

    def prepare(way: Way) -> None:
        asked.append(way)
        if len(asked) == 1:
            raise MemoryError("no memory for a library")

    preparations = Preparations()
    tasks = [asyncio.create_task(preparations.prepare(missing(prepare))) for _ in range(2)]
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in told] == [MemoryError, MemoryError]
    await preparations.prepare(missing(prepare))
    with pytest.raises(IndexError):
        asked[2]
