"""What the container files promise: images of one release, limits, one volume for all that is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


@pytest.fixture
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def test_images_of_others_are_named_by_a_whole_version(services: dict[str, Any]) -> None:
    (python,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    (prometheus,) = re.findall(r":-(\S+)\}", services["prometheus"]["image"])
    for image in (python, prometheus):
        assert re.search(r":v?\d+\.\d+\.\d+", image), image


def test_every_service_is_bounded(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["mem_limit"]
        assert service["cpus"]


def test_what_is_kept_lies_in_the_volume() -> None:
    (kept,) = re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.MULTILINE)
    for name in ("REPOSITORY", "CALIBRATION_FOLDER"):
        (folder,) = re.findall(rf"CELLSERVE_{name}=(\S+)", DOCKERFILE)
        assert Path(folder).is_relative_to(kept)
    assert "ORT_DISABLE_TELEMETRY=1" in DOCKERFILE
