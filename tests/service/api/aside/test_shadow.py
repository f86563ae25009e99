"""Which requests run on another version besides, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellserve.service.api.aside.shadow import Shadow
from cellserve.service.api.facts import ShadowFact
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import InternalFailure
from cellserve.service.registry.lease import Lease
from cellserve.service.registry.model_settings import ModelSettings, ShadowSettings

OLD, NEW, THIRD = (VersionKey("digits", version) for version in (3, 4, 5))
ROWS = RowInputs(([np.zeros((2, 3), np.float32)],), None, None, [2], 2)


def answer(number: float) -> Delivery:
    return Delivery(1, (np.float32([number]),), None, None, "2", 2, 1, 0.0, 0.25)


class House:
    """A catalog whose versions are all alike, and an engine that answers 0.5 or fails, when it has time."""

    def __init__(self, shadow: ShadowSettings | None = None) -> None:
        self.settings = ModelSettings(shadow=shadow)
        self.loaded = {OLD, NEW, THIRD}
        self.unlike: set[VersionKey] = set()
        self.compares: dict[VersionKey, VersionKey] = {}
        self.told: list[ShadowFact] = []
        self.ran: list[Work] = []
        self.drawn = 0.0
        self.busy = False
        self.failure: Exception | None = None
        self.leases = 0
        self.pauses = 0
        self.patient = True  # it is idle again after three looks
        self.now = 100.0
        self.among: list[float] = []  # when something took its turn among requests
        self.shadow = Shadow(
            self, self, self.signature, self.told.append, self.compares.get, lambda: self.drawn, self.pause, lambda: self.now
        )

    def ready(self, model: str, version: str = "") -> bool:
        return VersionKey(model, int(version)) in self.loaded

    def model_settings(self, model: str) -> ModelSettings:
        return self.settings

    async def acquire_pinned(self, model: str, version: int) -> Lease:
        self.leases += 1
        return Lease(self.version(VersionKey(model, version)), self.give_back)

    def give_back(self) -> None:
        self.leases -= 1

    def version(self, key: VersionKey) -> Any:
        return SimpleNamespace(key=key)

    def signature(self, version: Any) -> Any:
        return SimpleNamespace(inputs=(3,), outputs=(1 if version.key in self.unlike else 2,))

    def spare(self) -> bool:
        return not self.busy

    async def run_aside(self, works: Sequence[Work]) -> list[Delivery] | None:
        self.ran += works
        if self.failure is not None:
            raise self.failure
        return None if self.busy else [answer(0.5) for _ in works]

    async def run_among(self, works: Sequence[Work]) -> list[Delivery] | None:
        self.ran += works
        self.among.append(self.now)
        self.now += 0.01
        return [answer(0.5) for _ in works]

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.now += seconds
        self.busy = not self.patient or self.pauses < 3
        await asyncio.sleep(0)

    async def answered(self, key: VersionKey = OLD, rows: RowInputs = ROWS) -> list[tuple[VersionKey, VersionKey, str]]:
        """A request was, and whatever follows is over."""
        self.shadow.offer(self.version(key), rows, [answer(0.25)])
        while self.shadow.running:
            await asyncio.sleep(0.001)
        assert self.leases == 0
        return [(fact.version, fact.shadow, fact.result) for fact in self.told]


HALF = ShadowSettings(version=4, share=0.5)


async def test_a_share_of_the_requests_runs_on_the_shadow_and_the_difference_is_told() -> None:
    house = House(HALF)
    assert await house.answered() == [(OLD, NEW, "compared")]
    assert (house.told[0].difference, house.told[0].seconds) == (0.25, 0.25)
    (work,) = house.ran
    assert (work.version, work.implementation, work.deadline_seconds) == (NEW, None, None)
    house.drawn = 0.5
    assert len(await house.answered()) == 1


async def test_nothing_runs_where_nobody_wants_it() -> None:
    assert await House().answered() == []
    assert await House(HALF).answered(NEW) == []  # which is the shadow
    states = ROWS._replace(states=np.zeros((1, 4), np.float32))
    assert await House(HALF).answered(rows=states) == []


async def test_what_a_walking_alias_wants_compared_is() -> None:
    house = House()
    house.compares |= {OLD: THIRD, THIRD: OLD}
    assert await house.answered(THIRD) == [(THIRD, OLD, "compared")]
    house.drawn = 0.9
    assert len(await house.answered(THIRD)) == 1


@pytest.mark.parametrize(
    ("change", "result"),
    [
        (lambda house: house.loaded.discard(NEW), "not_ready"),
        (lambda house: house.unlike.add(NEW), "unlike"),
        (lambda house: setattr(house, "failure", InternalFailure("broken")), "failed"),
        (lambda house: setattr(house, "failure", ValueError("a fault of ours")), "failed"),
    ],
)
async def test_what_could_not_be_compared_is_counted(change: Any, result: str) -> None:
    house = House(HALF)
    change(house)
    assert await house.answered() == [(OLD, NEW, result)]
    assert house.told[0].difference is None


async def test_it_waits_for_time_that_nobody_wants() -> None:
    house = House(HALF)
    house.busy = True
    assert await house.answered() == [(OLD, NEW, "compared")]
    assert house.pauses == 3


async def test_what_made_way_is_dropped() -> None:
    house = House(HALF)

    async def made_way(works: Sequence[Work]) -> list[Delivery] | None:
        return None

    house.run_aside = made_way  # type: ignore[method-assign]
    assert await house.answered() == [(OLD, NEW, "dropped")]


async def test_what_a_walking_alias_waits_for_takes_its_turn_among_requests_where_nothing_is_idle() -> None:
    house = House()
    house.compares |= {OLD: NEW}
    house.busy, house.patient = True, False
    for _ in range(3):
        assert (await house.answered())[-1] == (OLD, NEW, "compared")
    apart = [later - earlier for earlier, later in zip(house.among, house.among[1:])]
    assert len(apart) == 2
    assert min(apart) >= 1.0


async def test_what_made_way_for_requests_takes_its_turn_among_them() -> None:
    house = House()
    house.compares |= {OLD: NEW}

    async def made_way(works: Sequence[Work]) -> list[Delivery] | None:
        return None

    house.run_aside = made_way  # type: ignore[method-assign]
    assert await house.answered() == [(OLD, NEW, "compared")]
    assert (await house.answered())[1:] == [(OLD, NEW, "dropped")]  # for it would be too soon


async def test_few_wait_and_a_stop_ends_them() -> None:
    house = House(HALF)
    never = asyncio.Event()

    async def for_ever(seconds: float) -> None:
        await never.wait()

    house.busy = True
    shadow = Shadow(house, house, house.signature, house.told.append, draw=lambda: 0.0, pause=for_ever)
    for _ in range(6):
        shadow.offer(house.version(OLD), ROWS, [answer(0.25)])
    assert [fact.result for fact in house.told] == ["dropped"] * 2
    await asyncio.sleep(0)
    await shadow.stop()
    assert shadow.running == 0
    assert house.ran == []
