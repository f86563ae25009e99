import asyncio
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.state_layout import StateLayout
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Preparation
from cellserve.service.errors import (
    InvalidInput,
    RepositoryAway,
    RepositoryError,
    UnknownModel,
    UnknownVersion,
    VersionFailed,
    VersionUnavailable,
)
from cellserve.service.registry.catalog import Catalog
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.manifest import Manifest, ModelRef
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.memory.room import Room
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.repository.alias_history import Trail
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.status import VersionState, VersionStatus
from tests.service.registry.fakes import imported, passing_gate, repository, weights
from tests.service.registry.repository.remote.fakes import Machine

UNKNOWN, LOADING, READY, UNLOADING, FAILED, UNLOADED = VersionState
D1, D2, D3 = (VersionKey("digits", version) for version in (1, 2, 3))
PATIENCE_SECONDS = 60.0


class FakeEngine:
    """Holds what it was given, and writes down what happened."""

    def __init__(self) -> None:
        self.held: set[VersionKey] = set()
        self.events: list[tuple[str, VersionKey]] = []

    def add_version(
        self, key: VersionKey, network: Any, implementation: str | None = None, preparation: Preparation | None = None
    ) -> None:
        assert key not in self.held
        self.held.add(key)
        self.events.append((f"add {implementation}", key))

    def remove_version(self, key: VersionKey) -> None:
        self.held.remove(key)
        self.events.append(("remove", key))


class FakeLoader:
    """Loads without torch. `broken` versions fail; those in `gates` wait until their gate is opened."""

    def __init__(self) -> None:
        self.loads: list[VersionKey] = []
        self.settings: dict[VersionKey, Settings] = {}
        self.broken: dict[VersionKey, Exception] = {}
        self.gates: dict[VersionKey, threading.Event] = {}
        self.threads: set[int] = set()
        self.bytes: dict[VersionKey, int] = {}  # that versions take

    def __call__(self, repository: Repository, manifest: Manifest, settings: Settings) -> tuple[LoadedVersion, Any]:
        key = manifest.key
        self.loads.append(key)
        self.settings[key] = settings
        self.threads.add(threading.get_ident())
        if key in self.gates:
            assert self.gates[key].wait(PATIENCE_SECONDS)
        repository.numbers(manifest)
        if key in self.broken:
            raise self.broken[key]
        spec = manifest.spec
        offered = {"0": None, "2": None, "fused": "not here"}
        footprint = Footprint(self.bytes.get(key, 0))
        layout = StateLayout.of(spec)
        return LoadedVersion(key, manifest, spec, infer_shapes(spec), layout, offered, "2", True, footprint=footprint), object()


class House:
    """A repository on a real disk, a fake engine and the catalog between them. now_seconds: since 1970, as the catalog has it."""

    def __init__(
        self, root: Path, keep_previous_seconds: float = 0.0, store: Repository | None = None, room: Room | None = None
    ) -> None:
        self.root = root
        self.repository = store or repository(root)
        self.engine = FakeEngine()
        self.load = FakeLoader()
        self.changes: list[tuple[str, VersionState]] = []
        self.observed: list[Any] = []
        self.now_seconds = time.time()
        self.drawn = 0.5  # where requests without a key lie in a split alias
        settings = Settings(keep_previous_seconds=keep_previous_seconds)
        self.catalog = Catalog(
            self.repository,
            self.engine,
            settings,
            load=self.load,
            observer=self,
            clock=lambda: self.now_seconds,
            draw=lambda: self.drawn,
            room=room,
        )
        self.catalog.subscribe(lambda status: self.changes.append((f"{status.model}/{status.version}", status.state)))

    def on_state(self, key: VersionKey, state: VersionState) -> None:
        self.observed.append((key, state))

    def on_loaded(self, key: VersionKey, seconds: float) -> None:
        self.observed.append((key, seconds >= 0))

    def publish(self, model: str = "digits", alias: str | None = None) -> None:
        self.repository.publish(model, imported(), alias=alias)

    def states(self) -> dict[str, VersionState]:
        return {f"{status.model}/{status.version}": status.state for status in self.catalog.index()}

    def status(self, key: VersionKey) -> VersionStatus:
        return next(status for status in self.catalog.index() if status.key == key)

    async def becomes(self, condition: Callable[[], bool]) -> None:
        """Waits, driven by the catalog's own announcements, until the condition holds."""
        changed = asyncio.Event()
        end = self.catalog.subscribe(lambda status: changed.set())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    await changed.wait()
                    changed.clear()
                    await asyncio.sleep(0)
        finally:
            end()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "repository")
    yield house
    for gate in house.load.gates.values():
        gate.set()
    await house.catalog.stop()


async def test_an_empty_repository_starts_and_is_made(house: House) -> None:
    await house.catalog.start()
    assert house.root.is_dir()
    assert house.catalog.index() == []
    with pytest.raises(UnknownModel, match="none yet"):
        await house.catalog.acquire("digits")


async def test_aliased_versions_and_the_newest_are_loaded_and_no_others(house: House) -> None:
    for alias in ("stable", None, "canary", None):
        house.publish(alias=alias)
    house.publish("speech")
    await house.catalog.start()
    assert house.states() == {
        "digits/1": READY, "digits/2": UNKNOWN, "digits/3": READY, "digits/4": READY, "speech/1": READY,
    }  # fmt: skip
    assert house.status(D1).aliases == ("stable",)
    assert threading.get_ident() not in house.load.threads
    assert ("add 2", D1) in house.engine.events


@pytest.mark.parametrize(("asked", "answered"), [("", 1), ("stable", 1), ("canary", 2), ("3", 3), ("2", 2)])
async def test_versions_on_the_wire(house: House, asked: str, answered: int) -> None:
    for alias in ("stable", "canary", None):
        house.publish(alias=alias)
    await house.catalog.start()
    with await house.catalog.acquire("digits", asked) as lease:
        assert lease.version.key == VersionKey("digits", answered)


async def test_without_a_stable_alias_the_newest_answers(house: House) -> None:
    house.publish(alias="canary")
    house.publish()
    await house.catalog.start()
    with await house.catalog.acquire("digits") as lease:
        assert lease.version.key == D2


async def test_what_does_not_exist_is_told(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    with pytest.raises(UnknownModel, match="the models are: digits"):
        await house.catalog.acquire("speech")
    with pytest.raises(UnknownVersion, match="it has 1"):
        await house.catalog.acquire("digits", "2")
    with pytest.raises(UnknownVersion, match="its aliases: stable"):
        await house.catalog.acquire("digits", "canary")
    with pytest.raises(InvalidInput):
        await house.catalog.acquire("../digits")
    assert not house.catalog.ready("speech")
    assert not house.catalog.ready("digits", "2")
    assert house.catalog.ready("digits", "stable")


async def test_another_version_loads_on_its_first_request_and_once(house: House) -> None:
    for _ in range(2):
        house.publish()
    await house.catalog.start()
    assert not house.catalog.ready("digits", "1")
    leases = await asyncio.gather(*(house.catalog.acquire("digits", "1") for _ in range(5)))
    assert house.load.loads.count(D1) == 1
    for lease in leases:
        lease.release()
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": READY}


async def test_a_request_cut_short_does_not_cut_the_load_short(house: House) -> None:
    for _ in range(2):
        house.publish()
    await house.catalog.start()
    house.load.gates[D1] = threading.Event()
    impatient = asyncio.create_task(house.catalog.acquire("digits", "1"))
    await house.becomes(lambda: house.states()["digits/1"] is LOADING)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    house.load.gates[D1].set()
    await house.becomes(lambda: house.catalog.ready("digits", "1"))


async def test_a_load_does_not_stall_the_event_loop(house: House) -> None:
    house.publish()
    house.load.gates[D1] = threading.Event()
    start = asyncio.create_task(house.catalog.start())
    await house.becomes(lambda: house.states().get("digits/1") is LOADING)
    assert not house.catalog.ready("digits")
    house.load.gates[D1].set()
    await start
    assert house.catalog.ready("digits")


async def test_a_swap_announces_the_new_version_before_the_old_one_goes(house: House) -> None:
    house.publish()
    await house.catalog.start()
    house.publish()
    await house.catalog.refresh()
    assert house.changes == [
        ("digits/1", LOADING), ("digits/1", READY),
        ("digits/2", LOADING), ("digits/2", READY),
        ("digits/1", UNLOADING), ("digits/1", UNLOADED),
    ]  # fmt: skip
    assert house.engine.events == [("add 2", D1), ("add 2", D2), ("remove", D1)]
    assert (D1, True) in house.observed
    assert (D1, READY) in house.observed


async def test_the_old_version_answers_while_the_new_one_loads(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.load.gates[D2] = threading.Event()
    house.publish(alias="stable")
    refresh = asyncio.create_task(house.catalog.refresh())
    await house.becomes(lambda: house.states().get("digits/2") is LOADING)
    for asked in ("", "stable"):
        with await house.catalog.acquire("digits", asked) as lease:
            assert lease.version.key == D1
    house.load.gates[D2].set()
    await refresh
    with await house.catalog.acquire("digits", "stable") as lease:
        assert lease.version.key == D2


async def test_a_lease_keeps_the_old_version_in_the_engine(house: House) -> None:
    house.publish()
    await house.catalog.start()
    first = await house.catalog.acquire("digits")
    second = await house.catalog.acquire("digits")
    house.publish()
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADING, "digits/2": READY}
    first.release()
    first.release()
    assert D1 in house.engine.held
    second.release()
    assert house.engine.held == {D2}
    assert house.states() == {"digits/1": UNLOADED, "digits/2": READY}


async def test_a_request_by_number_keeps_a_version_that_was_on_its_way_out(house: House) -> None:
    house.publish()
    await house.catalog.start()
    first = await house.catalog.acquire("digits")
    house.publish()
    await house.catalog.refresh()
    second = await house.catalog.acquire("digits", "1")
    first.release()
    second.release()
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": READY}
    assert house.load.loads == [D1, D2]


async def test_what_is_pinned_to_a_version_does_not_keep_it_from_going(house: House) -> None:
    house.publish()
    await house.catalog.start()
    first = await house.catalog.acquire("digits")
    house.publish()
    await house.catalog.refresh()
    second = await house.catalog.acquire_pinned("digits", 1)
    assert house.states()["digits/1"] is UNLOADING
    assert not house.catalog.is_wanted(D1)
    first.release()
    assert D1 in house.engine.held
    second.release()
    assert house.engine.held == {D2}


async def test_what_is_pinned_to_a_version_that_has_left_loads_it_for_as_long_as_it_is_used(house: House) -> None:
    house.publish()
    house.publish()
    await house.catalog.start()
    lease = await house.catalog.acquire_pinned("digits", 1)
    assert lease.version.key == D1
    await house.becomes(lambda: house.states()["digits/1"] is UNLOADING)
    assert (house.catalog.is_wanted(D1), house.catalog.is_wanted(D2)) == (False, True)
    assert D1 in house.engine.held
    lease.release()
    await house.becomes(lambda: house.engine.held == {D2})
    with pytest.raises(UnknownVersion):
        await house.catalog.acquire_pinned("digits", 9)


async def test_a_roll_back_keeps_the_version_that_was_on_its_way_out(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    lease = await house.catalog.acquire("digits")
    house.publish(alias="stable")
    await house.catalog.refresh()
    assert house.states()["digits/1"] is UNLOADING
    house.repository.set_alias("digits", "stable", 1)
    await house.catalog.refresh()
    lease.release()
    with await house.catalog.acquire("digits") as again:
        assert again.version.key == D1
    assert house.load.loads == [D1, D2]


async def test_a_new_version_that_fails_leaves_the_alias_where_it_was(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.load.broken[D2] = RepositoryError("the golden pair differs")
    house.publish(alias="stable")
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": FAILED}
    assert house.status(D2).reason == "the golden pair differs"
    for asked in ("", "stable"):
        with await house.catalog.acquire("digits", asked) as lease:
            assert lease.version.key == D1
    with pytest.raises(VersionFailed, match="digits/2 failed to load: the golden pair differs"):
        await house.catalog.acquire("digits", "2")


async def test_a_failed_version_is_tried_again_only_when_its_files_change_or_on_request(house: House) -> None:
    house.publish()
    house.load.broken[D1] = ValueError("surprise")
    await house.catalog.start()
    await house.catalog.refresh()
    assert house.load.loads == [D1]
    assert house.status(D1).reason == "ValueError: surprise"
    with pytest.raises(VersionFailed, match="surprise"):
        await house.catalog.load("digits")
    assert house.load.loads == [D1, D1]
    house.load.broken.clear()
    (house.root / "digits/1/manifest.json").touch()
    await house.catalog.refresh()
    assert house.catalog.ready("digits")


@pytest.mark.parametrize("damage", ["manifest.json", "weights.safetensors"])
async def test_a_damaged_version_hurts_nobody_else(house: House, damage: str) -> None:
    house.publish()
    house.publish("speech")
    (house.root / "digits/1" / damage).write_bytes(b"{")
    await house.catalog.start()
    assert house.states() == {"digits/1": FAILED, "speech/1": READY}
    assert damage in house.status(D1).reason


async def test_weights_that_were_exchanged_are_not_served(house: House) -> None:
    house.publish()
    weights(seed=7).save(house.root / "digits/1/weights.safetensors")
    await house.catalog.start()
    assert "not what was published" in house.status(D1).reason
    with pytest.raises(VersionFailed, match="digest"):
        await house.catalog.acquire("digits")


async def test_damaged_aliases_keep_their_last_meaning(house: House) -> None:
    house.publish(alias="stable")
    house.publish()
    await house.catalog.start()
    (house.root / "digits/aliases.json").write_text("{")
    await house.catalog.refresh()
    with await house.catalog.acquire("digits", "stable") as lease:
        assert lease.version.key == D1
    with pytest.raises(VersionUnavailable, match=r"aliases\.json is damaged"):
        await house.catalog.acquire("digits", "canary")


async def test_damaged_aliases_at_the_start_never_guess_a_default(house: House) -> None:
    house.publish()
    (house.root / "digits/aliases.json").write_text("{")
    await house.catalog.start()
    with pytest.raises(VersionUnavailable, match=r"aliases\.json is damaged"):
        await house.catalog.acquire("digits")
    with await house.catalog.acquire("digits", "1") as lease:
        assert lease.version.key == D1


async def test_an_alias_to_a_version_that_is_gone_is_told(house: House) -> None:
    house.publish()
    (house.root / "digits/aliases.json").write_text('{"stable": 9}')
    await house.catalog.start()
    with pytest.raises(UnknownVersion, match="points at version 9"):
        await house.catalog.acquire("digits")
    assert house.states() == {"digits/1": READY, "digits/9": FAILED}
    assert "points at version 9, which does not exist" in house.status(VersionKey("digits", 9)).reason
    assert house.status(VersionKey("digits", 9)).aliases == ("stable",)


async def test_a_removed_model_goes_when_its_last_lease_does(house: House) -> None:
    house.publish()
    await house.catalog.start()
    lease = await house.catalog.acquire("digits")
    house.repository.remove(ModelRef("digits"))
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADING}
    with pytest.raises(UnknownModel):
        await house.catalog.acquire("digits")
    lease.release()
    assert house.states() == {}
    assert house.engine.held == set()
    assert house.observed[-1] == (D1, UNLOADED)


async def test_a_model_removed_and_published_anew_is_loaded_anew(house: House) -> None:
    house.publish()
    await house.catalog.start()
    lease = await house.catalog.acquire("digits")
    house.repository.remove(ModelRef("digits"))
    house.repository.publish("digits", imported(seed=3))
    await house.catalog.refresh()
    with pytest.raises(VersionUnavailable, match="being replaced"):
        await house.catalog.acquire("digits")
    lease.release()
    await house.becomes(lambda: house.catalog.ready("digits"))
    with await house.catalog.acquire("digits") as again:
        assert again.version.manifest.weights_digest == weights(3).digest


async def test_a_version_published_a_moment_ago_is_found(house: House) -> None:
    await house.catalog.refresh()
    house.publish()
    with await house.catalog.acquire("digits", "1") as lease:
        assert lease.version.key == D1


async def test_an_explicit_unload_holds_until_load(house: House) -> None:
    house.publish()
    house.publish("speech")
    await house.catalog.start()
    lease = await house.catalog.acquire("digits")
    await house.catalog.unload("digits")
    assert house.states() == {"digits/1": UNLOADING, "speech/1": READY}
    lease.release()
    house.publish()
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADED, "digits/2": UNKNOWN, "speech/1": READY}
    for asked in ("", "1", "2"):
        with pytest.raises(VersionUnavailable, match="unloaded on request"):
            await house.catalog.acquire("digits", asked)
    await house.catalog.load("digits")
    assert house.states() == {"digits/1": UNLOADED, "digits/2": READY, "speech/1": READY}
    with pytest.raises(UnknownModel):
        await house.catalog.unload("nobody")


async def test_applying_the_same_versions_again_does_nothing(house: House) -> None:
    for _ in range(3):
        house.publish()
    await house.catalog.refresh()
    await house.catalog.apply(frozenset({D1, D2}))
    events = list(house.engine.events)
    assert house.engine.held == {D1, D2}
    await house.catalog.apply(frozenset({D1, D2}))
    assert house.engine.events == events


async def test_versions_appear_and_aliases_move_while_it_runs(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    await asyncio.to_thread(house.publish)
    await house.becomes(lambda: house.catalog.ready("digits", "2"))
    with await house.catalog.acquire("digits") as lease:
        assert lease.version.key == D1
    await asyncio.to_thread(house.repository.set_alias, "digits", "stable", 2)
    await house.becomes(lambda: house.states()["digits/1"] is UNLOADED)
    with await house.catalog.acquire("digits") as lease:
        assert lease.version.key == D2
    await asyncio.to_thread(house.publish, "speech")
    await house.becomes(lambda: house.catalog.ready("speech"))
    await asyncio.to_thread(house.repository.remove, ModelRef("speech"))
    await house.becomes(lambda: "speech/1" not in house.states())


async def test_a_subscriber_that_left_hears_nothing(house: House) -> None:
    heard: list[VersionStatus] = []
    house.catalog.subscribe(heard.append)()
    house.publish()
    await house.catalog.start()
    assert heard == []


async def test_the_settings_of_a_model_are_followed_and_the_last_good_ones_hold(house: House) -> None:
    house.publish()
    path = house.repository.root / "digits" / "model.yaml"
    path.write_text("session_idle_seconds: 5")
    await house.catalog.start()
    assert house.catalog.model_settings("digits").session_idle_seconds == 5
    path.write_text("session_idle_seconds: soon")
    await house.catalog.refresh()
    assert house.catalog.model_settings("digits").session_idle_seconds == 5
    path.unlink()
    await house.catalog.refresh()
    assert house.catalog.model_settings("digits") == house.catalog.model_settings("nobody") == ModelSettings()


async def again(house: House, *broken: VersionKey) -> House:
    """The server after a restart, at which these versions do not load."""
    await house.catalog.stop()
    restarted = House(house.root)
    restarted.load.broken = {key: RepositoryError("the golden pair differs") for key in broken}
    await restarted.catalog.start()
    return restarted


async def answers(house: House, version: str = "") -> VersionKey:
    with await house.catalog.acquire("digits", version) as lease:
        return lease.version.key


async def test_after_a_restart_a_failed_aliased_version_is_stood_in_for_by_the_last_that_served(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    house.publish()  # the newest has never answered for stable
    await house.catalog.refresh()
    assert await answers(house) == D2
    with caplog.at_level("ERROR"):
        restarted = await again(house, D2)
    try:
        assert await answers(restarted) == await answers(restarted, "stable") == D1
        assert restarted.catalog.ready("digits")
        assert restarted.states() == {"digits/1": READY, "digits/2": FAILED, "digits/3": READY}
        with pytest.raises(VersionFailed):
            await answers(restarted, "2")
        told = [(one.name, one.version, one.answering, one.fallen_back) for one in restarted.catalog.aliases()]
        assert told == [("digits", 2, 1, True), ("digits@stable", 2, 1, True)]
        reason = restarted.status(D1).reason
        for part in ("for the alias 'stable'", "in place of version 2, which failed to load: the golden pair differs"):
            assert part in reason
            assert part in caplog.text
        assert "cellserve promote digits VERSION --alias stable" in caplog.text
        await restarted.catalog.stop()
        assert "the golden pair differs" in read_model(restarted.repository, "digits").failing[2]
    finally:
        await restarted.catalog.stop()


async def test_a_version_that_recovers_answers_again_and_its_stand_in_goes(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    restarted = await again(house, D2)
    try:
        assert await answers(restarted) == D1
        restarted.load.broken.clear()
        with caplog.at_level("INFO"):
            await restarted.catalog.load("digits")
        assert await answers(restarted) == D2
        await restarted.becomes(lambda: restarted.states() == {"digits/1": UNLOADED, "digits/2": READY})
        assert "digits@stable does not fall back any more" in caplog.text
    finally:
        await restarted.catalog.stop()


async def test_the_last_but_one_stands_in_where_the_last_fails_too(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    for _ in range(2):
        house.publish(alias="stable")
        await house.catalog.refresh()
    restarted = await again(house, D3, D2)
    try:
        assert await answers(restarted) == D1
    finally:
        await restarted.catalog.stop()


async def test_without_an_alias_the_last_that_served_stands_in_for_the_newest(house: House) -> None:
    house.publish()
    await house.catalog.start()
    await house.catalog.stop()
    house.publish()
    restarted = await again(house, D2)
    try:
        assert await answers(restarted) == D1
        assert restarted.status(D1).reason.startswith("answers requests without a version, as the last one that served")
    finally:
        await restarted.catalog.stop()


async def test_a_version_that_never_served_stands_in_for_nobody(house: House) -> None:
    house.publish()
    house.publish(alias="stable")
    restarted = await again(house, D2)
    try:
        with pytest.raises(VersionFailed, match="digits/2"):
            await answers(restarted)
    finally:
        await restarted.catalog.stop()


async def test_an_alias_whose_version_was_deleted_is_stood_in_for(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    shutil.rmtree(house.root / "digits/2")
    restarted = await again(house)
    try:
        assert await answers(restarted, "stable") == D1
        assert restarted.states() == {"digits/1": READY, "digits/2": FAILED}
    finally:
        await restarted.catalog.stop()


async def test_missing_aliases_are_those_of_the_history_and_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.publish(alias="stable")
    house.publish()
    (house.root / "digits/aliases.json").unlink()
    with caplog.at_level("WARNING"):
        await house.catalog.start()
    assert await answers(house) == D1
    assert "aliases.json is missing" in caplog.text
    assert "aliases.json is missing" in house.status(D1).reason


async def test_a_model_that_is_removed_while_it_is_described_is_told_as_it_was(tmp_path: Path) -> None:
    class Late(Repository):
        """By the time that a manifest has been read the model is gone, and that is known."""

        def manifest(self, model: str, version: int) -> Manifest:
            found = super().manifest(model, version)
            repository(self.root).remove(ModelRef("digits"))
            asyncio.run_coroutine_threadsafe(house.catalog.refresh(), loop).result(PATIENCE_SECONDS)
            return found

    loop = asyncio.get_running_loop()
    house = House(tmp_path, store=Late(tmp_path, gate=passing_gate))
    repository(tmp_path).publish("digits", imported())
    (tmp_path / "digits/model.yaml").write_text("load: on-demand")
    await house.catalog.start()
    told = await house.catalog.describe("digits")
    assert (told.versions, told.published_by) == ([1], "")
    assert house.catalog.models() == []
    await house.catalog.stop()


async def test_a_move_that_is_read_in_the_middle_is_logged_with_who_made_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Early(Repository):
        """Read by whoever has just seen the history when an alias moves."""

        def alias_trail(self, model: str, known: Trail | None = None) -> Trail:
            found = super().alias_trail(model, known)
            if moves:
                repository(self.root).set_alias(*moves.pop())
            return found

    moves: list[tuple[str, str, int, str]] = []
    house = House(tmp_path, keep_previous_seconds=900.0, store=Early(tmp_path, gate=passing_gate))
    house.publish(alias="stable")
    house.publish()
    house.publish()
    await house.catalog.start()
    moves.append(("digits", "stable", 2, "ann@host"))
    with caplog.at_level("INFO"):
        await house.catalog.refresh()
    assert "digits@stable moved: from 1 to 2 (by ann@host)" in caplog.text
    assert "by hand" not in caplog.text
    assert house.states()["digits/1"] is READY  # the way back: the history says that it was left
    await house.catalog.stop()


async def test_moves_are_logged_in_one_line_each_with_who_made_them(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.publish(alias="stable")
    house.publish()
    await house.catalog.start()
    with caplog.at_level("INFO"):
        await house.catalog.set_alias("digits", "stable", 2, by="a call from ipv4:127.0.0.1:7")
        await asyncio.to_thread(house.repository.set_alias, "digits", "canary", 1, "ann@host")
        await house.catalog.refresh()
        (house.root / "digits/aliases.json").write_text('{"stable": 1}')
        await house.catalog.refresh()
    moves = [record.getMessage() for record in caplog.records if " moved: " in record.getMessage()]
    assert moves == [
        "digits@stable moved: from 1 to 2 (by a call from ipv4:127.0.0.1:7)",
        "digits@canary moved: set to 1 (by ann@host)",
        "digits@canary moved: removed, was 1 (by nobody known)",
        "digits@stable moved: from 2 to 1 (by nobody known)",
    ]
    assert "aliases.json of digits was changed by hand: stable is 1, and was last set to 2" in caplog.text
    assert "changed by hand" in house.status(D1).reason


async def test_an_alias_is_not_moved_to_a_loaded_version_whose_files_have_changed(house: House) -> None:
    for alias in ("stable", None):
        house.publish(alias=alias)
    await house.catalog.start()
    path = house.root / "digits/2/weights.safetensors"
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as when a disk forgets
    with pytest.raises(RepositoryError, match="not what was published"):
        await house.catalog.set_alias("digits", "stable", 2)
    assert house.repository.aliases("digits") == {"stable": 1}


async def test_a_stand_in_is_not_kept_for_ever_because_it_was_asked_by_its_alias(house: House) -> None:
    house.publish(alias="stable")
    await house.catalog.start()
    house.load.broken[D2] = RepositoryError("broken")
    house.publish(alias="stable")
    await house.catalog.refresh()
    assert await answers(house) == D1
    house.load.broken.clear()
    await house.catalog.load("digits")
    assert await answers(house) == D2
    await house.becomes(lambda: house.states()["digits/1"] is UNLOADED)


async def test_a_repository_that_cannot_be_written_to_serves_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house.publish(alias="stable")

    def refuse(folder: Path, record: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("cellserve.service.registry.repository.served.write", refuse)
    with caplog.at_level("WARNING"):
        await house.catalog.start()
        await house.catalog.stop()
    assert await answers(house) == D1
    assert "Read-only file system; if its version fails at the next start" in caplog.text


async def test_disk_subscribers_hear_of_moves_that_change_no_state(house: House) -> None:
    for alias in ("stable", "canary"):
        house.publish(alias=alias)
    await house.catalog.start()
    heard: list[bool] = []
    house.catalog.subscribe_to_disk(lambda: heard.append(True))
    await house.catalog.refresh()
    assert heard == []
    house.repository.set_alias("digits", "stable", 2)
    await house.catalog.refresh()
    assert heard == [True]


async def test_a_start_removes_what_killed_imports_left(house: House) -> None:
    house.publish()
    (house.root / ".staging-1").mkdir()
    await house.catalog.start()
    assert [entry.name for entry in house.root.iterdir()] == ["digits"]


def owner_says(house: House, text: str, model: str = "digits") -> None:
    (house.root / model / "model.yaml").write_text(text)


async def test_the_version_before_stays_loaded_for_its_time(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    house.now_seconds += 899.0
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": READY}
    assert house.catalog.is_wanted(D1)
    house.now_seconds += 1.0
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADED, "digits/2": READY}
    await house.catalog.stop()


async def test_a_way_back_to_the_version_before_loads_nothing(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    assert await house.catalog.set_alias("digits", "stable", 1) == 2
    with await house.catalog.acquire("digits") as lease:
        assert lease.version.key == D1
    assert house.load.loads == [D1, D2]
    await house.catalog.stop()


async def test_a_way_back_reads_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a large version take longer to read than a rollback may."""
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    read: list[tuple[str, int]] = []
    monkeypatch.setattr(house.repository, "weights", lambda *key: read.append(key))
    await house.catalog.set_alias("digits", "stable", 1)
    with await house.catalog.acquire("digits") as lease:
        assert lease.version.key == D1
    assert read == []
    await house.catalog.set_alias("digits", "canary", 1)  # which it names already, and has not left
    assert read == [D1]
    await house.catalog.stop()


async def test_the_version_before_is_loaded_after_a_restart_too(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    house.publish(alias="stable")
    await house.catalog.start()
    await house.becomes(lambda: house.states() == {"digits/1": READY, "digits/2": READY})
    assert house.load.loads == [D2, D1]
    await house.catalog.stop()


async def test_an_owner_says_how_long_the_version_before_stays(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    owner_says(house, "keep_previous: 1m")
    await house.catalog.start()
    house.publish(alias="stable")
    await house.catalog.refresh()
    house.now_seconds += 60.0
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADED, "digits/2": READY}
    await house.catalog.stop()


async def test_a_version_before_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    house.publish(alias="stable")
    house.publish(alias="stable")
    house.load.broken = {D1: RepositoryError("the golden pair differs")}
    await house.catalog.start()
    await house.becomes(lambda: house.states() == {"digits/1": FAILED, "digits/2": READY})
    await house.catalog.refresh()
    assert house.load.loads == [D2, D1]
    await house.catalog.stop()


async def test_an_owner_says_which_versions_stay_loaded_and_changes_are_followed(house: House) -> None:
    for _ in range(3):
        house.publish()
    await house.catalog.start()
    assert house.states() == {"digits/1": UNKNOWN, "digits/2": UNKNOWN, "digits/3": READY}
    owner_says(house, "keep_newest: 2")
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNKNOWN, "digits/2": READY, "digits/3": READY}
    owner_says(house, "pinned: [1]")
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": UNLOADED, "digits/3": READY}
    owner_says(house, "keep_newest: 0")
    await house.catalog.refresh()
    assert house.states() == {"digits/1": UNLOADED, "digits/2": UNLOADED, "digits/3": READY}  # what no version means
    await house.catalog.set_alias("digits", "stable", 1)
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": UNLOADED, "digits/3": UNLOADED}


async def test_a_pin_on_nothing_is_told(house: House) -> None:
    house.publish()
    owner_says(house, "pinned: [1, 7]")
    await house.catalog.start()
    assert house.status(D1).state is READY
    assert "pins what does not exist: 7" in house.status(D1).reason


async def test_versions_are_loaded_under_their_owners_settings(house: House) -> None:
    house.publish()
    house.publish("speech")
    owner_says(house, "{implementation: packed, device: cpu}")
    await house.catalog.start()
    assert house.load.settings[D1].implementation == "packed"
    assert house.load.settings[D1].device == "cpu"
    assert house.load.settings[VersionKey("speech", 1)].implementation == "auto"


async def test_a_split_alias_is_answered_by_its_shares_and_keys_stick(house: House) -> None:
    house.publish(alias="stable")
    house.publish()
    house.repository.split_alias("digits", "stable", 2, 0.25)
    await house.catalog.start()
    assert house.states() == {"digits/1": READY, "digits/2": READY}
    answered = []
    for house.drawn in (0.0, 0.2, 0.3, 0.9):
        for version in ("", "stable"):
            with await house.catalog.acquire("digits", version) as lease:
                answered.append(lease.version.key)
    assert answered == [D2, D2, D2, D2, D1, D1, D1, D1]
    of_keys = {}
    for house.drawn in (0.0, 0.9):
        for key in ("a", "b", "c", "d", "e", "f"):
            with await house.catalog.acquire("digits", "", lambda key=key: key) as lease:  # type: ignore[misc]
                assert of_keys.setdefault(key, lease.version.key) == lease.version.key
    assert set(of_keys.values()) == {D1, D2}
    (plain, stable) = house.catalog.aliases()
    assert (plain.version, plain.split, stable.split) == (1, {2: 0.25, 1: 0.75}, {2: 0.25, 1: 0.75})
    assert house.catalog.ready("digits")


async def test_a_share_whose_version_cannot_serve_goes_to_the_main_one(house: House) -> None:
    house.publish(alias="stable")
    house.publish()
    house.repository.split_alias("digits", "stable", 2, 0.25)
    house.load.broken = {D2: RepositoryError("the golden pair differs")}
    await house.catalog.start()
    house.drawn = 0.0
    assert await answers(house) == D1
    assert house.status(D2).state is FAILED


async def test_versions_with_a_share_stay_until_the_split_ends(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for alias in ("stable", None, None):
        house.publish(alias=alias)
    await house.catalog.start()
    house.repository.split_alias("digits", "stable", 2, 0.25)
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": READY, "digits/3": READY}
    with pytest.raises(RepositoryError, match="digits/2 is in use by the alias 'stable'"):
        house.repository.remove(ModelRef("digits", version=2))
    assert "digits@stable moved: split, 25% to 2, 75% to 1" in caplog.text
    await house.catalog.set_alias("digits", "stable", 1)
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": UNLOADED, "digits/3": READY}
    assert "digits@stable moved: all to 1 again" in caplog.text


async def test_a_model_on_demand_is_asleep_until_it_is_called_and_then_like_others(house: House) -> None:
    for model in ("digits", "speech"):
        for alias in ("stable", None):
            house.publish(model, alias=alias)
    owner_says(house, "load: on-demand")
    await house.catalog.start()
    assert house.states() == {"digits/1": UNKNOWN, "digits/2": UNKNOWN, "speech/1": READY, "speech/2": READY}
    assert not house.catalog.ready("digits")
    await house.catalog.refresh()
    assert house.catalog.model_settings("digits").load == "on-demand"
    assert D1 not in house.load.loads
    assert await answers(house) == D1
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY, "digits/2": READY, "speech/1": READY, "speech/2": READY}
    assert house.load.loads.count(D1) == 1


async def test_what_an_alias_left_before_a_restart_sleeps_with_its_model(tmp_path: Path) -> None:
    house = House(tmp_path / "repository", keep_previous_seconds=900.0)
    for _ in range(2):
        house.publish(alias="stable")
    owner_says(house, "load: on-demand")
    await house.catalog.start()
    await house.catalog.refresh()
    assert house.load.loads == []
    await house.catalog.load("digits")
    assert house.catalog.ready("digits")
    await house.becomes(lambda: house.states() == {"digits/1": READY, "digits/2": READY})
    await house.catalog.stop()


async def test_a_model_that_is_no_longer_on_demand_is_loaded(house: House) -> None:
    house.publish()
    owner_says(house, "load: on-demand")
    await house.catalog.start()
    owner_says(house, "load: at-start")
    await house.catalog.refresh()
    assert house.states() == {"digits/1": READY}


# --- a repository in an object store ---


async def test_what_is_loaded_stays_while_the_store_is_away_and_what_failed_for_it_is_tried_again(tmp_path: Path) -> None:
    memory = MemoryStore()
    publisher, here = Machine(memory, tmp_path / "publisher"), Machine(memory, tmp_path / "here")
    publisher.repository.publish("digits", imported(), alias="stable")
    house = House(tmp_path / "here", store=here.repository)
    await house.catalog.start()
    try:
        assert (house.catalog.trouble, house.states()) == (None, {"digits/1": READY})
        told: list[str | None] = []
        house.catalog.subscribe_to_disk(lambda: told.append(house.catalog.trouble))
        await asyncio.to_thread(publisher.repository.publish, "digits", imported(1))
        await asyncio.to_thread(here.repository.refresh)
        here.objects.away = True
        await house.catalog.refresh()
        assert house.states() == {"digits/1": READY, "digits/2": FAILED}
        assert "cannot be asked" in house.status(D2).reason
        assert house.catalog.trouble == told[0] == "s3://bucket/models cannot be asked: nobody answers"
        with await house.catalog.acquire("digits"):
            assert house.engine.held == {D1}
        here.objects.away = False
        await house.catalog.refresh()
        assert (house.catalog.trouble, house.states()) == (None, {"digits/1": READY, "digits/2": READY})
    finally:
        await house.catalog.stop()


async def test_a_store_that_is_away_hinders_no_start_of_what_was_seen_before(tmp_path: Path) -> None:
    memory = MemoryStore()
    Machine(memory, tmp_path / "here").repository.publish("digits", imported(), alias="stable")
    for folder, states in (("here", {"digits/1": READY}), ("elsewhere", None)):
        machine = Machine(memory, tmp_path / folder)
        machine.objects.away = True
        house = House(tmp_path / folder, store=machine.repository)
        if states is None:
            with pytest.raises(RepositoryAway, match="nobody answers"):
                await house.catalog.start()
        else:
            await house.catalog.start()
            assert house.states() == states
        await house.catalog.stop()
