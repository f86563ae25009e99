"""The systemd unit: it starts what there is, with settings that there are, and leaves the time that a drain takes."""

from __future__ import annotations

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from cellserve.service.config import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"


@pytest.fixture
def service() -> dict[str, str]:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / "cellserve.service")
    return dict(unit["Service"])


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CELLSERVE_{name.upper()}", raising=False)
    return Settings(settings_file=FOLDER / "settings.yaml")


def test_its_file_of_settings_is_read_and_its_folders_are_the_units(service: dict[str, str], settings: Settings) -> None:
    assert service["Environment"] == "CELLSERVE_SETTINGS_FILE=/etc/cellserve/settings.yaml"
    assert settings.repository_folder.is_relative_to(f"/var/lib/{service['StateDirectory']}")
    assert settings.calibration_folder.is_relative_to(f"/var/cache/{service['CacheDirectory']}")


def test_a_stop_is_waited_for_as_long_as_the_drain_takes(service: dict[str, str], settings: Settings) -> None:
    assert int(service["TimeoutStopSec"]) > settings.drain_seconds + settings.lame_duck_seconds
    assert service["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_understands_it(tmp_path: Path) -> None:
    text = (FOLDER / "cellserve.service").read_text().replace("/opt/cellserve/bin/cellserve", "/bin/true")
    unit = tmp_path / "cellserve.service"
    unit.write_text(text)
    done = subprocess.run(("systemd-analyze", "verify", str(unit)), capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "cellserve" in line and "Failed to" not in line]
    assert said == []
