"""Servers of a test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.processes import Process


@pytest.fixture(autouse=True)
def calibrations(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server measures in a test is kept apart from what it measured for the user, and from other tests."""
    monkeypatch.setenv("CELLSERVE_CALIBRATION_FOLDER", str(tmp_path_factory.mktemp("calibrations")))


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Those that a test starts, ended with it."""
    started: list[Process] = []
    yield started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()
