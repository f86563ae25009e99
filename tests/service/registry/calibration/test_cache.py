"""Measurements on disk: believed only under the very circumstances in which they were made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellserve.models.measuring.traffic import TRAFFIC_KINDS, TrafficKind
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import FakeImport, passing_gate, weights

HERE = {"host": "here", "processor": "chip", "torch": "2.13.0"}
CHOICES: dict[TrafficKind, str] = dict.fromkeys(TRAFFIC_KINDS, "2")
SECONDS: dict[TrafficKind, dict[str, float]] = {"bulk_few": {"2": 1e-6}}


def manifest(root: Path, seed: int = 0) -> Manifest:
    return Repository(root, gate=passing_gate).publish("digits", FakeImport(weights=weights(seed)))


@pytest.fixture
def published(tmp_path: Path) -> Manifest:
    return manifest(tmp_path / "repository")


def test_what_was_written_is_read(tmp_path: Path, published: Manifest) -> None:
    CalibrationCache(tmp_path / "a/b", HERE).write(published, "cpu", CHOICES, SECONDS)
    measured = CalibrationCache(tmp_path / "a/b", HERE).read(published, "cpu")
    assert measured is not None
    assert (measured.choices, measured.seconds, measured.device) == (CHOICES, SECONDS, "cpu")
    assert [path.suffix for path in (tmp_path / "a/b").iterdir()] == [".json"]


@pytest.mark.parametrize("other", ["host", "processor", "torch"])
def test_another_machine_is_not_believed(tmp_path: Path, published: Manifest, other: str) -> None:
    CalibrationCache(tmp_path / "c", HERE).write(published, "cpu", CHOICES, SECONDS)
    there = CalibrationCache(tmp_path / "c", HERE | {other: "else"})
    assert there.read(published, "cpu") is None
    assert there.on_any_device(published) == []


def test_other_weights_and_devices_are_told_apart(tmp_path: Path, published: Manifest) -> None:
    cache = CalibrationCache(tmp_path / "c", HERE)
    cache.write(published, "cpu", CHOICES, SECONDS)
    assert cache.read(published, "cuda:0 chip") is None
    assert cache.read(manifest(tmp_path / "other", seed=1), "cpu") is None


def test_a_file_copied_under_the_name_of_another_is_not_believed(tmp_path: Path, published: Manifest) -> None:
    cache = CalibrationCache(tmp_path / "c", HERE)
    cache.write(published, "cpu", CHOICES, SECONDS)
    (path,) = (tmp_path / "c").iterdir()
    cache.write(published, "cuda:0 chip", dict.fromkeys(TRAFFIC_KINDS, "0"), SECONDS)
    for other in (tmp_path / "c").iterdir():
        other.write_bytes(path.read_bytes())
    assert cache.read(published, "cuda:0 chip") is None


def test_all_devices_of_this_machine(tmp_path: Path, published: Manifest) -> None:
    cache = CalibrationCache(tmp_path / "c", HERE)
    cache.write(published, "cuda:0 chip", CHOICES, SECONDS)
    cache.write(published, "cpu", CHOICES, SECONDS)
    cache.write(manifest(tmp_path / "other", seed=1), "cpu", CHOICES, SECONDS)
    assert [measured.device for measured in cache.on_any_device(published)] == ["cpu", "cuda:0 chip"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"choices": {"bulk_few": 3}}', b"\xff"])
def test_a_damaged_file_is_as_none(tmp_path: Path, published: Manifest, damage: bytes) -> None:
    cache = CalibrationCache(tmp_path / "c", HERE)
    cache.write(published, "cpu", CHOICES, SECONDS)
    (path,) = (tmp_path / "c").iterdir()
    path.write_bytes(damage)
    assert cache.read(published, "cpu") is None
    assert cache.on_any_device(published) == []


def test_a_folder_that_cannot_be_used_costs_nothing_but_the_cache(
    tmp_path: Path, published: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no home
    for folder in (tmp_path / "file", Path("~/nobody")):
        cache = CalibrationCache(folder, HERE)
        cache.write(published, "cpu", CHOICES, SECONDS)
        assert cache.read(published, "cpu") is None
        assert cache.on_any_device(published) == []


def test_that_nothing_can_be_kept_is_told_once(tmp_path: Path, published: Manifest, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache = CalibrationCache(tmp_path / "file", HERE)
    with caplog.at_level("WARNING"):
        for _ in range(2):
            cache.write(published, "cpu", {}, {})
    assert [record.getMessage() for record in caplog.records if "is not kept" in record.getMessage()] == [caplog.messages[0]]
    assert "is measured again at the next start" in caplog.text
