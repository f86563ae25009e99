"""Versions that become READY get their choices: measured once, kept, one at a time, and never at the cost of serving."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cellserve.models.measuring.calibration import Calibration
from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import UnknownVersion, UnsupportedImplementation
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.calibration.calibrations import Calibrations, Choices
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.status import VersionState, VersionStatus
from tests.service.registry.fakes import FakeImport, passing_gate, weights

ONE, TWO = VersionKey("digits", 1), VersionKey("digits", 2)
HERE = {"host": "here"}


def all_by(label: str) -> dict[TrafficKind, str]:
    return dict.fromkeys(TRAFFIC_KINDS, label)


@dataclass
class FakeChooser:
    """`offered`: what it takes. `measuring`: how many measure at this moment, and at most did."""

    offered: set[str] = field(default_factory=lambda: {"0", "2"})
    fails: Exception | None = None
    measured: list[VersionKey] = field(default_factory=list)
    chosen: dict[VersionKey, Mapping[TrafficKind, str]] = field(default_factory=dict)
    busy: threading.Lock = field(default_factory=threading.Lock)

    def measure(self, key: VersionKey) -> Calibration:
        assert self.busy.acquire(blocking=False)
        try:
            if self.fails is not None:
                raise self.fails
            self.measured.append(key)
            return Calibration(all_by("2"), {"bulk_few": {"2": 1e-6}})
        finally:
            self.busy.release()

    def choose(self, key: VersionKey, by_kind: Choices) -> None:
        if set(by_kind.values()) - self.offered:
            raise UnsupportedImplementation("not here", field="implementation")
        self.chosen[key] = by_kind


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository", gate=passing_gate)
    for seed in range(2):
        repository.publish("digits", FakeImport(weights=weights(seed)))
    return repository


class Settled:
    """Calibrations over a fake engine, told of changes."""

    def __init__(self, repository: Repository, folder: Path, chooser: FakeChooser) -> None:
        self.told: dict[VersionKey, Choices] = {}
        self.settings = Settings(device="cpu")
        cache = CalibrationCache(folder, HERE)
        self.calibrations = Calibrations(repository, chooser, cache, lambda model: self.settings, self.told.__setitem__)

    async def change(self, *keys: VersionKey, state: VersionState = VersionState.READY) -> None:
        for key in keys:
            self.calibrations.on_change(VersionStatus(key.model, key.version, state))
        await self.calibrations.settled()


async def test_every_ready_version_is_measured_one_at_a_time(repository: Repository, tmp_path: Path) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    await settled.change(ONE, TWO)
    assert chooser.measured == [ONE, TWO]
    assert settled.told == chooser.chosen == {ONE: all_by("2"), TWO: all_by("2")}


async def test_ready_again_changes_nothing_and_a_new_load_chooses_anew(repository: Repository, tmp_path: Path) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    await settled.change(ONE)
    await settled.change(ONE)
    chooser.chosen.clear()
    await settled.change(ONE, state=VersionState.UNLOADED)
    await settled.change(ONE)
    assert chooser.measured == [ONE]
    assert chooser.chosen == {ONE: all_by("2")}


async def test_what_is_kept_is_used_without_measuring(repository: Repository, tmp_path: Path) -> None:
    await Settled(repository, tmp_path / "c", FakeChooser()).change(ONE)
    later = FakeChooser()
    await Settled(repository, tmp_path / "c", later).change(ONE)
    assert later.measured == []
    assert later.chosen == {ONE: all_by("2")}


async def test_what_is_kept_and_no_longer_offered_is_measured_again(repository: Repository, tmp_path: Path) -> None:
    cache = CalibrationCache(tmp_path / "c", HERE)
    cache.write(repository.manifest(*ONE), "cpu", all_by("fused"), {})
    chooser = FakeChooser()
    await Settled(repository, tmp_path / "c", chooser).change(ONE)
    assert chooser.measured == [ONE]
    kept = cache.read(repository.manifest(*ONE), "cpu")
    assert kept is not None
    assert kept.choices == all_by("2")


@pytest.mark.parametrize("failure", [UnknownVersion("gone"), RuntimeError("out of memory")])
async def test_a_version_that_cannot_be_measured_keeps_its_default(
    repository: Repository, tmp_path: Path, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    chooser = FakeChooser(fails=failure)
    settled = Settled(repository, tmp_path / "c", chooser)
    await settled.change(ONE)
    assert chooser.chosen == settled.told == {}
    assert ("could not be calibrated" in caplog.text) is isinstance(failure, RuntimeError)


async def test_other_states_start_nothing(repository: Repository, tmp_path: Path) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    for state in VersionState:
        if state is not VersionState.READY:
            await settled.change(ONE, state=state)
    assert chooser.measured == []


async def test_stopping_waits_for_none_that_has_not_begun(repository: Repository, tmp_path: Path) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    for key in (ONE, TWO):
        settled.calibrations.on_change(VersionStatus(key.model, key.version, VersionState.READY))
    await settled.calibrations.stop()
    await asyncio.sleep(0)
    assert TWO not in chooser.measured


async def test_an_implementation_that_is_named_is_chosen_and_a_change_is_followed(repository: Repository, tmp_path: Path) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    settled.settings = Settings(device="cpu", implementation="0")
    await settled.change(ONE)
    assert settled.told == chooser.chosen == {}  # it was loaded so
    for wished, told in (("auto", "2"), ("0", "0"), ("auto", "2")):
        settled.settings = Settings.model_validate({"device": "cpu", "implementation": wished})
        settled.calibrations.follow()
        await settled.calibrations.settled()
        assert settled.told == chooser.chosen == {ONE: all_by(told)}
    assert chooser.measured == [ONE]


async def test_an_implementation_that_is_named_and_not_offered_changes_nothing(
    repository: Repository, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chooser = FakeChooser()
    settled = Settled(repository, tmp_path / "c", chooser)
    await settled.change(ONE)
    settled.settings = Settings(device="cpu", implementation="packed")
    settled.calibrations.follow()
    await settled.calibrations.settled()
    assert settled.told == {ONE: all_by("2")}
    assert "digits/1 goes on as it is" in caplog.text
