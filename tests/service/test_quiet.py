"""Nothing leaves the machine: with a home of its own, no process keeps or says anything but what cellserve means to keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.processes import Process

GOLDEN = Path(__file__).parents[1] / "golden"
OWN = Path(".cache/cellserve")
SESSION = """
from onnx import TensorProto, helper
from cellserve.models.implementations.onnxruntime.graph import Piece, model
from cellserve.models.implementations.onnxruntime.session import new_session
one = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
new_session(model(Piece((helper.make_node("Abs", ["x"], ["y"]),), {}), one[:1], one[1:]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of processes that start from here, whatever the surroundings say of caches and of telemetry."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("XDG_CACHE_HOME", "CELLSERVE_CALIBRATION_FOLDER", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    return folder


def kept(home: Path) -> list[Path]:
    """Files that are not cellserve's own."""
    files = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    return [path for path in files if not path.is_relative_to(OWN)]


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def command(*arguments: str) -> str:
    return run("-m", "cellserve.service", *arguments)


def publish(repository: Path) -> str:
    return command("import", str(GOLDEN / "k3_lstm_hard_sigmoid.keras"), "--name", "hard", "--repository", str(repository))


@pytest.mark.parametrize(
    "first", ["models.network", "models.implementations.onnxruntime.chunk_call", "models.importers.isolated", "service.app"]
)
def test_the_library_is_silenced_whatever_is_imported_first(home: Path, first: str) -> None:
    said = run("-c", f"import cellserve.{first}\n{SESSION}")
    assert (kept(home), said) == ([], "")


def test_importing_and_measuring_keep_nothing(home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    said = publish(repository)
    quickly = ("--rows", "1", "--steps", "1", "--seconds-per-cell", "0.001")
    said += command("bench", "hard", *quickly, "--repository", str(repository))
    assert kept(home) == []
    assert "telemetry" not in said.lower()


def test_a_server_keeps_nothing(home: Path, tmp_path: Path, processes: list[Process]) -> None:
    repository = tmp_path / "repository"
    publish(repository)
    server = Process(repository)
    processes.append(server)
    server.ready()
    server.process.terminate()
    code, _, said = server.end()
    assert (code, kept(home), said) == (0, [], "")
