"""Short work of several requests in one call: who waits for whom, for how long, and that each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.api.submission.microbatcher import Microbatcher, over
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import UnknownVersion
from tests.fakes import FakeClock

ONE, OTHER = VersionKey("m", 1), VersionKey("m", 2)


def work(version: VersionKey = ONE, steps: int = 1) -> Work:
    return Work(version, (np.zeros((steps, 1), np.float32),))


class FakeLoop:
    """Runs what was asked for when it is told to turn."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Engine:
    """Answers with the number of steps; remembers what came together."""

    def __init__(self) -> None:
        self.calls: list[tuple[VersionKey, str, list[int]]] = []
        self.arrivals: list[float] = []
        self.error: Exception | None = None

    def run_at_once(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]:
        if self.error is not None:
            raise self.error
        self.calls.append((works[0].version, implementation, [each.steps for each in works]))
        self.arrivals += arrived_seconds
        return [Delivery(-1, (), None, None, implementation, each.steps, 1, 0.0, 0.0) for each in works]


class House:
    def __init__(self) -> None:
        self.loop, self.engine, self.at_door, self.clock = FakeLoop(), Engine(), RequestsAtDoor(), FakeClock()
        self.microbatcher = Microbatcher(self.engine.run_at_once, self.at_door, self.loop, self.clock)  # type: ignore[arg-type]

    def turn(self, seconds: float) -> None:
        """One turn of the loop that takes so long."""
        self.clock.advance(seconds)
        self.loop.turn()

    def crowd(self) -> None:
        for _ in range(2):
            self.at_door.begin_call()


@pytest.fixture
def house() -> House:
    return House()


def test_who_is_alone_is_known_to_be(house: House) -> None:
    house.at_door.begin_call()
    assert house.microbatcher.alone(house.clock())


def test_who_has_company_waits_and_is_computed_with_it(house: House) -> None:
    house.crowd()
    assert not house.microbatcher.alone(house.clock())
    assert house.microbatcher.promising()
    first = house.microbatcher.hold(work(steps=5), "2", house.clock())
    came = house.clock()
    house.turn(0.0002)
    second = house.microbatcher.hold(work(steps=7), "2", house.clock())
    house.turn(0.0009)
    assert first.done()
    assert second.done()
    assert house.engine.calls == [(ONE, "2", [5, 7])]
    assert house.engine.arrivals == [came, came + 0.0002]
    assert [first.result().steps, second.result().steps] == [5, 7]
    house.turn(0.0)
    assert house.loop.soon == []


@pytest.mark.parametrize("turn_seconds", [0.000005, 0.00008])
def test_an_idle_loop_waits_no_longer_than_ten_turns_however_slow_it_is(house: House, turn_seconds: float) -> None:
    house.crowd()
    answer = house.microbatcher.hold(work(), "2", house.clock())
    house.turn(turn_seconds / 20)  # the rest of the turn in which it came
    for _ in range(10):
        assert not answer.done()
        house.turn(turn_seconds)
    assert answer.done()


def test_a_busy_loop_waits_no_longer_than_a_millisecond(house: House) -> None:
    house.crowd()
    answer = house.microbatcher.hold(work(), "2", house.clock())
    for _ in range(3):
        house.turn(0.0003)
        assert not answer.done()
    house.turn(0.0003)
    assert answer.done()


def test_a_full_call_waits_for_nobody(house: House) -> None:
    house.crowd()
    answers = [house.microbatcher.hold(work(), "2", house.clock()) for _ in range(16)]
    house.turn(0.0)
    assert all(answer.done() for answer in answers)
    assert len(house.engine.calls) == 1


def test_company_is_expected_for_two_milliseconds_after_there_was_some(house: House) -> None:
    house.crowd()
    for _ in range(2):
        house.microbatcher.hold(work(), "2", house.clock())
    house.turn(0.002)
    house.at_door.end_call()
    house.clock.advance(0.0019)
    assert not house.microbatcher.alone(house.clock())
    alone = house.microbatcher.hold(work(), "2", house.clock())
    house.turn(0.0019)
    assert alone.done()
    assert house.microbatcher.alone(house.clock())


def test_where_holding_is_in_vain_more_and_more_are_spared(house: House) -> None:
    def spared() -> int:
        """How many are not held after one that is held for nobody."""
        assert house.microbatcher.promising()
        house.microbatcher.hold(work(), "2", house.clock())
        house.turn(0.002)
        count = 0
        while not house.microbatcher.promising():
            count += 1
        return count

    house.crowd()
    assert [spared() for _ in range(8)] == [4, 8, 16, 32, 64, 128, 256, 256]
    for _ in range(2):
        house.microbatcher.hold(work(), "2", house.clock())
    house.turn(0.002)
    assert house.microbatcher.promising()
    assert spared() == 4


def test_each_version_and_implementation_has_its_own_call(house: House) -> None:
    for version, implementation in ((ONE, "2"), (OTHER, "2"), (ONE, "0"), (ONE, "2")):
        house.microbatcher.hold(work(version), implementation, house.clock())
    house.turn(0.002)
    assert house.engine.calls == [(ONE, "2", [1, 1]), (OTHER, "2", [1]), (ONE, "0", [1])]


def test_who_was_cancelled_is_not_computed(house: House) -> None:
    first, second = [house.microbatcher.hold(work(steps=steps), "2", house.clock()) for steps in (1, 2)]
    first.cancel()
    third = house.microbatcher.hold(work(OTHER), "2", house.clock())
    third.cancel()
    house.turn(0.002)
    assert house.engine.calls == [(ONE, "2", [2])]
    assert second.result().steps == 2


def test_what_the_engine_raises_reaches_everybody_it_concerns_and_nobody_hangs(house: House) -> None:
    house.engine.error = UnknownVersion("gone")
    answers = [house.microbatcher.hold(work(), "2", house.clock()) for _ in range(3)]
    house.turn(0.002)
    for answer in answers:
        with pytest.raises(UnknownVersion, match="gone"):
            answer.result()
    house.engine.error = None
    later = house.microbatcher.hold(work(), "2", house.clock())
    house.turn(0.002)
    assert later.done()


@given(st.floats(0, 0.002), st.integers(0, 20), st.integers(1, 20))
def test_nobody_is_held_for_more_than_a_millisecond(held: float, idle: int, rows: int) -> None:
    assert over(held, idle, rows) == (held >= 0.001 or idle >= 10 or rows >= 16)


async def test_on_a_real_loop_everybody_is_answered() -> None:
    engine, at_door = Engine(), RequestsAtDoor()
    microbatcher = Microbatcher(engine.run_at_once, at_door, asyncio.get_running_loop())
    clock = asyncio.get_running_loop().time

    async def ask(steps: int) -> int:
        return (await microbatcher.hold(work(steps=steps), "2", clock())).steps

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(ask(steps) for steps in range(1, 41))) == list(range(1, 41))
    assert sum(len(lengths) for _, _, lengths in engine.calls) == 40
    assert len(engine.calls) < 40
