"""In which order calls begin whose messages have come, and how many in a turn."""

from __future__ import annotations

import asyncio

from cellserve.service.api.fronts.http2 import starts
from cellserve.service.api.fronts.http2.starts import Starts


class Started:
    """Calls, by number, in the order in which they began."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def call(self, number: int) -> _Call:
        return _Call(self, number)


class _Call:
    def __init__(self, started: Started, number: int) -> None:
        self._started = started
        self._number = number

    def start(self) -> None:
        self._started.numbers.append(self._number)


async def test_a_few_begin_in_each_turn_in_their_order() -> None:
    started = Started()
    waiting = Starts(asyncio.get_running_loop())
    for number in range(100):
        waiting.add(started.call(number))
    turns = []
    while len(started.numbers) < 100:
        before = len(started.numbers)
        await asyncio.sleep(0)
        turns.append(len(started.numbers) - before)
    assert started.numbers == list(range(100))
    assert max(turns) == starts._IN_A_TURN


async def test_it_tells_how_long_the_next_one_waits() -> None:
    started = Started()
    waiting = Starts(asyncio.get_running_loop())
    waiting.add(started.call(0))
    begun = asyncio.get_running_loop().time()
    while started.numbers == []:
        assert 0.0 <= waiting.waited_seconds() <= asyncio.get_running_loop().time() - begun
        await asyncio.sleep(0)
    assert waiting.waited_seconds() == 0.0
