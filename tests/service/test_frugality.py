"""A server imports what computes when it is first used: one whose networks need no torch never has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiled import PACKED
from tests.service.served import publish

LIBRARIES = {"onnx", "onnxruntime", "torch"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    publish(root)
    return root


def imported(repository: Path, kept: Path, implementation: str, packed: str) -> list[list[str]]:
    program = [sys.executable, "-W", "error", "-m", "tests.service.frugal"]
    done = subprocess.run(
        [*program, str(repository), str(kept), implementation, packed], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return made


@pytest.mark.skipif(not PACKED, reason="nothing here can compile the packed kernel")
def test_a_server_under_packed_does_all_its_work_without_torch(repository: Path, tmp_path: Path) -> None:
    """The second start finds what was measured, and imports nothing that computes at all."""
    first, used = imported(repository, tmp_path, "packed", "there")
    assert "torch" not in first
    assert "torch" in used
    assert imported(repository, tmp_path, "packed", "there")[0] == []


def test_a_server_without_the_packed_kernel_does_so_under_onnxruntime(repository: Path, tmp_path: Path) -> None:
    before, used = imported(repository, tmp_path, "onnxruntime", "hidden")
    assert before == ["onnx", "onnxruntime"]
    assert "torch" in used


def test_nothing_that_computes_is_imported_with_a_module() -> None:
    modules = (
        "service.app",
        "service.engine.engine",
        "service.registry.proving",
        "models.network",
        "models.measuring.calibration",
    )
    program = f"import {', '.join(f'cellserve.{module}' for module in modules)}, sys; print(set(sys.modules) & {LIBRARIES})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
