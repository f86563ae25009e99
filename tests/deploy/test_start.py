"""What the server's container does first: publish the demo's model where there is none, then be the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START = Path(__file__).parents[2] / "deploy" / "demo" / "start.sh"
LIST = ("models", "--json")  # in place of serve, which would not end


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "CELLSERVE_REPOSITORY": str(tmp_path / "models")}


def start(environment: dict[str, str], script: Path = START) -> tuple[Any, str]:
    done = subprocess.run(["/bin/sh", script, *LIST], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout[done.stdout.index("[") :]), done.stderr


def test_the_first_start_publishes_the_demos_model_and_the_next_nothing(environment: dict[str, str]) -> None:
    for _ in range(2):
        listed, _ = start(environment)
        assert [(row["model"], row["version"], row["aliases"]) for row in listed] == [("digits", 1, ["stable"])]


def test_a_repository_may_stay_empty(environment: dict[str, str]) -> None:
    assert start(environment | {"CELLSERVE_DEMO": "no"})[0] == []


def test_a_model_that_cannot_be_published_keeps_nobody_from_serving(environment: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(START, tmp_path / "start.sh")
    listed, said = start(environment, tmp_path / "start.sh")
    assert listed == []
    assert "the demo's model is not published; the server starts all the same" in said
