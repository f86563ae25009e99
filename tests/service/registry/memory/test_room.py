"""The room in the catalog that it makes room for."""

import asyncio
import threading
from pathlib import Path

import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import VersionFailed
from cellserve.service.registry.memory.room import Room
from cellserve.service.registry.status import VersionState
from tests.service.registry.test_catalog import House

A, B, C = (VersionKey(name, 1) for name in ("a", "b", "c"))
READY, FAILED, UNLOADED = VersionState.READY, VersionState.FAILED, VersionState.UNLOADED


def house_of(root: Path, budget_bytes: int, *models: str, pool_rows: int = 0, alias: str | None = None) -> House:
    """Each version takes 40,000 bytes; what is thought beforehand is far less."""
    house = House(root, room=Room(budget_bytes, pool_rows))
    for model in models:
        house.publish(model, alias)
        house.load.bytes[VersionKey(model, 1)] = 40_000
    return house


async def serving(house: House) -> House:
    await house.catalog.start()
    return house


async def use(house: House, model: str) -> None:
    (await house.catalog.acquire(model)).release()


async def test_the_longest_unused_version_makes_room_and_comes_back_with_its_next_request(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 100_000, "a", "b"))
    await use(house, "a")
    house.publish("c")
    house.load.bytes[C] = 40_000
    await house.catalog.refresh()
    assert house.states() == {"a/1": READY, "b/1": UNLOADED, "c/1": READY}
    await use(house, "b")
    assert house.states() == {"a/1": UNLOADED, "b/1": READY, "c/1": READY}
    await house.catalog.stop()


async def test_what_made_room_is_not_loaded_again_by_itself(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 100_000, "a", "b", "c"))
    loads = len(house.load.loads)
    await house.catalog.refresh()
    await house.catalog.refresh()
    assert len(house.load.loads) == loads == 3
    assert house.states()["a/1"] is UNLOADED
    await house.catalog.stop()


async def test_versions_with_an_alias_stay_and_the_next_one_is_refused_with_the_numbers(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 100_000, "a", "b", "c", alias="stable"))
    assert house.states() == {"a/1": READY, "b/1": READY, "c/1": FAILED}
    with pytest.raises(VersionFailed, match=r"c/1 failed to load: it needs 39\.1 KiB of memory.*97\.7 KiB.*78\.1 KiB are in use"):
        await use(house, "c")
    assert "a/1 39.1 KiB (is stable)" in house.catalog.failure(C)
    assert C not in house.engine.held
    await house.catalog.stop()


async def test_what_was_refused_is_loaded_once_there_is_room(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 100_000, "a", "b", "c", alias="stable"))
    await house.catalog.unload("a")
    await house.catalog.refresh()
    assert house.states() == {"a/1": UNLOADED, "b/1": READY, "c/1": READY}
    await house.catalog.stop()


async def test_a_version_in_use_stays(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 90_000, "a", "b"))
    with await house.catalog.acquire("a"), await house.catalog.acquire("b"):
        house.publish("c")
        house.load.bytes[C] = 40_000
        await house.catalog.refresh()
        assert house.states() == {"a/1": READY, "b/1": READY, "c/1": FAILED}
        assert "(in use)" in house.catalog.failure(C)
    await use(house, "c")
    assert house.states() == {"a/1": UNLOADED, "b/1": READY, "c/1": READY}
    await house.catalog.stop()


async def test_a_pinned_version_stays(tmp_path: Path) -> None:
    house = house_of(tmp_path, 90_000, "a", "b", "c")
    (tmp_path / "a" / "model.yaml").write_text("pinned: [1]\n")
    await serving(house)
    assert house.states() == {"a/1": READY, "b/1": UNLOADED, "c/1": READY}
    await house.catalog.stop()


async def test_an_alias_brings_a_version_back(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 90_000, "a", "b", "c"))
    assert house.states()["a/1"] is UNLOADED
    house.repository.set_alias("a", "stable", 1)
    await house.catalog.refresh()
    assert house.states() == {"a/1": READY, "b/1": UNLOADED, "c/1": READY}
    await house.catalog.stop()


async def test_states_count_before_anything_is_read(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 100_000, "a", pool_rows=100_000))
    assert house.states() == {"a/1": FAILED}
    assert house.load.loads == []
    assert "give more" in house.catalog.failure(A)
    await house.catalog.stop()


async def test_what_is_being_loaded_is_spoken_for(tmp_path: Path) -> None:
    house = House(tmp_path, room=Room(1_600))
    for model in ("a", "b"):
        house.publish(model)
    gate = house.load.gates[A] = threading.Event()
    starting = asyncio.create_task(house.catalog.start())
    while A not in house.load.loads:
        await asyncio.sleep(0.001)
    with pytest.raises(VersionFailed, match=r"b/1 .*\(it is being loaded\)"):
        await use(house, "b")
    gate.set()
    await starting
    await house.catalog.stop()


async def test_without_a_budget_nothing_goes_and_everything_is_told(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 0, "a", "b", pool_rows=10))
    assert set(house.states().values()) == {READY}
    states_bytes = house.catalog.footprints()[A].states_bytes
    assert states_bytes > 0
    assert {status.memory_bytes for status in house.catalog.index()} == {40_000 + states_bytes}
    await house.catalog.unload("a")
    assert set(house.catalog.footprints()) == {B}
    await house.catalog.stop()


async def test_every_request_is_answered_though_versions_take_turns(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 50_000, "a", "b", "c"))
    for _ in range(5):
        for model in ("a", "b", "c"):
            with await house.catalog.acquire(model) as lease:
                assert lease.version.key in house.engine.held
                assert len(house.engine.held) == 1
    await house.catalog.stop()
