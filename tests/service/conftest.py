"""Servers of a test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.processes import Process


@pytest.fixture(autouse=True)
def calibrations(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server measures in a test is kept away from the user's."""
    monkeypatch.setenv("CELLSERVE_CALIBRATION_FOLDER", str(tmp_path_factory.getbasetemp() / "calibrations"))


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Those that a test starts, ended with it."""
    started: list[Process] = []
    yield started
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate()
