"""The room in the catalog that it makes room for."""

import asyncio
import threading
from pathlib import Path

import pytest

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import VersionFailed
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.memory.room import Room
from cellserve.service.registry.status import VersionState
from tests.service.registry.test_catalog import House

A, B, C = (VersionKey(name, 1) for name in ("a", "b", "c"))
READY, FAILED, UNLOADED = VersionState.READY, VersionState.FAILED, VersionState.UNLOADED


def house_of(
    root: Path, budget_bytes: int, *models: str, pool_rows: int = 0, alias: str | None = None, settings: str = ""
) -> House:
    """Each version takes 40,000 bytes; what is thought beforehand is far less. settings: what each model.yaml says."""
    house = House(root, room=Room(budget_bytes, pool_rows))
    for model in models:
        house.publish(model, alias)
        house.load.bytes[VersionKey(model, 1)] = 40_000
        if settings:
            (root / model / "model.yaml").write_text(settings)
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


async def test_of_models_on_demand_versions_with_an_alias_take_turns_too(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 90_000, "a", "b", "c", alias="stable", settings="load: on-demand\n"))
    for _ in range(2):
        for model in ("a", "b", "c"):
            await use(house, model)
            await house.catalog.refresh()
            assert VersionKey(model, 1) in house.engine.held
            assert len(house.engine.held) <= 2
    assert house.states() == {"a/1": UNLOADED, "b/1": READY, "c/1": READY}
    await house.catalog.stop()


async def test_a_pinned_version_of_a_model_on_demand_stays(tmp_path: Path) -> None:
    settings = "load: on-demand\npinned: [1]\n"
    house = await serving(house_of(tmp_path, 90_000, "a", "b", "c", alias="stable", settings=settings))
    await use(house, "a")
    await use(house, "b")
    with pytest.raises(VersionFailed, match=r"a/1 39\.1 KiB \(pinned\)"):
        await use(house, "c")
    await house.catalog.stop()


async def test_versions_that_share_an_alias_of_a_model_on_demand_stay(tmp_path: Path) -> None:
    """Or the share of one that has gone would be the other's, and never bring it back."""
    house = house_of(tmp_path, 130_000, "a", "b", "c", alias="stable", settings="load: on-demand\n")
    house.publish("a")
    house.load.bytes[VersionKey("a", 2)] = 40_000
    house.repository.split_alias("a", "stable", 2, 0.1)
    await serving(house)
    for model in ("a", "b", "c"):
        await use(house, model)
        await house.catalog.refresh()
    assert house.states() == {"a/1": READY, "a/2": READY, "b/1": UNLOADED, "c/1": READY}
    await house.catalog.stop()


async def test_an_alias_that_moves_brings_nothing_back_that_had_made_room(tmp_path: Path) -> None:
    house = await serving(house_of(tmp_path, 90_000, "a", "b", "c", alias="stable", settings="load: on-demand\n"))
    for model in ("a", "b", "c"):
        await use(house, model)
    loads = len(house.load.loads)
    house.publish("a", "stable")
    house.load.bytes[VersionKey("a", 2)] = 40_000
    await house.catalog.refresh()
    assert house.load.loads[loads:] == [VersionKey("a", 2)]
    await house.catalog.stop()


async def test_a_manifest_is_read_once_for_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await serving(house_of(tmp_path, 90_000, "a", settings="load: on-demand\n"))
    read, manifest = [], house.repository.manifest

    def seen(model: str, version: int) -> Manifest:
        read.append((model, version))
        return manifest(model, version)

    monkeypatch.setattr(house.repository, "manifest", seen)
    await use(house, "a")
    assert read == [("a", 1)]
    await house.catalog.stop()
