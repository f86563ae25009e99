"""Servers of a test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.processes import Process, ended_processes
from tests.service.small_disk import mounted


@pytest.fixture(autouse=True)
def calibrations(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server measures in a test is kept apart from what it measured for the user, and from other tests."""
    monkeypatch.setenv("CELLSERVE_CALIBRATION_FOLDER", str(tmp_path_factory.mktemp("calibrations")))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with mounted(tmp_path / "small") as folder:
        yield folder


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    with ended_processes() as started:
        yield started
