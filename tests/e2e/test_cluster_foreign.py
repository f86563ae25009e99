"""Other people's clients through a cluster: what they ask of a server is asked of those behind Envoy, over a store.

perf_analyzer asks its server for statistics before and after a run, and fails where they are not of one and the same: behind its
Envoy there is one. What it compares itself is asked here; on a busy machine its books miss a sequence at the end of a run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.cluster.running import missing

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

ROOT = Path(__file__).parents[2]
SUITES: dict[str, tuple[int, tuple[str, ...]]] = {  # with so many replicas
    "tritonclient": (2, ("tests/e2e/test_tritonclient.py", "tests/e2e/test_tritonclient_sequences.py")),
    "perf_analyzer in sequence mode": (1, ("tests/e2e/test_perf_analyzer_sequences.py", "-k", "not every_answer")),
}


@pytest.mark.parametrize("suite", SUITES)
def test_through_envoy(suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    replicas, files = SUITES[suite]
    command = (sys.executable, "-m", "pytest", "-q", "-m", "e2e", *files)
    environment = os.environ | {"E2E_REPLICAS": str(replicas)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{suite} through Envoy: {done.stdout.splitlines()[-1] if done.stdout else done.stderr}")
    assert done.returncode == 0, done.stdout[-5000:]
