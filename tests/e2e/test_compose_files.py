"""The compose files against the published schema, and what the overlays make of the file below them; nothing is started."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import venvs
from tests.e2e.compose import ALONE, CLUSTER, ROOT, TLS, run

pytestmark = pytest.mark.e2e

GPU = "deploy/compose.gpu.yaml"


@pytest.fixture(scope="module")
def programs() -> Path:
    return venvs.interpreter("compose").parent


def together(programs: Path, *files: str) -> dict[str, Any]:
    """What files make of each other: the services."""
    named = [word for file in files for word in ("-f", file)]
    made = run(
        str(programs / "podman-compose"), *named, "config", environment=os.environ | {"CELLSERVE_SECRETS": "/etc/cellserve"}
    )
    services: dict[str, Any] = yaml.safe_load(made)["services"]
    return services


def test_every_file_is_what_compose_reads(programs: Path) -> None:
    checked = (str(programs / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ALONE, CLUSTER, TLS, GPU)
    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_overlay_for_gpus_gives_the_server_all_of_them_and_takes_no_bound_away(programs: Path) -> None:
    below, server = (together(programs, ALONE, *overlays)["server"] for overlays in ((), (GPU,)))
    assert set(server["build"]["args"]) == {"CONTENTS=whole", "TORCH_INDEX_URL=", "DEVICE=cuda"}
    (device,) = server["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert {name: value for name, value in server.items() if name not in ("image", "build", "deploy")} == {
        name: value for name, value in below.items() if name not in ("image", "build")
    }


def test_the_overlay_for_tls_gives_the_server_files_and_a_secret(programs: Path) -> None:
    server = together(programs, ALONE, TLS)["server"]
    assert {"CELLSERVE_TLS_CERTIFICATE", "CELLSERVE_TLS_KEY", "CELLSERVE_TOKENS", "CELLSERVE_DEMO"} <= set(server["environment"])
    assert server["secrets"] == ["tokens"]
    assert server["read_only"] is True


def test_overlays_go_together(programs: Path) -> None:
    server = together(programs, ALONE, GPU, TLS)["server"]
    assert server["secrets"] == ["tokens"]
    assert server["deploy"]["resources"]["reservations"]["devices"]
