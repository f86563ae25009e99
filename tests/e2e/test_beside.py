"""cellserve's own client, from a plain install without extras, beside tritonclient in one process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.foreign import ENVIRONMENT, ForeignClient
from tests.e2e.models import DEMO
from tests.e2e.venvs import interpreter_with_cellserve

pytestmark = pytest.mark.e2e

KERAS_TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interpreter_with_cellserve("beside", tmp_path_factory.mktemp("sources"))


@pytest.fixture
def beside(python: Path, server: Address, questions_file: Path) -> ForeignClient:
    return ForeignClient(python, "beside.py", (server.url, str(questions_file)))


def test_both_in_one_process(beside: ForeignClient, questions: dict[str, np.ndarray]) -> None:
    told = beside.run("both")
    for answers in ("ours", "theirs", "ragged", "async"):
        np.testing.assert_allclose(told[answers], questions["cut_outputs"][:20], **KERAS_TOLERANCE)
    assert told["refusal"] == "MODEL_UNKNOWN"


def test_a_plain_install_is_the_client_alone(beside: ForeignClient) -> None:
    told = beside.run("installed")
    assert told["found"] == []
    assert told["loaded"] == []


def test_its_command_line(python: Path, server: Address, questions: dict[str, np.ndarray], tmp_path: Path) -> None:
    """`predict` works without torch; what needs more says which extra brings it."""
    np.save(tmp_path / "image.npy", questions["inputs"][0])
    answer = tmp_path / "answer.npy"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = (str(python.parent / "cellserve"), *arguments)
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=False)

    done = run("predict", "digits", "--input", str(tmp_path / "image.npy"), "--url", server.url, "--output", str(answer))
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(answer), questions["outputs"][0], **KERAS_TOLERANCE)
    done = run("import", str(DEMO / "digits.keras"))
    assert done.returncode != 0
    assert "cellserve[server]" in done.stderr
    assert "Traceback" not in done.stderr
