"""What speaks gRPC, on the front that `auto` does not take here: everything else of `make e2e` and `make test` runs on the other.

The long runs are shortened: what is behind the fronts is the same. CELLSERVE_FRONT in the environment chooses the front of the
whole run, and leaves nothing to do here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellserve.service.api.fronts.choice import chosen_front
from cellserve.service.config import Settings

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
OTHER = {"grpc": "http2", "http2": "grpc"}[chosen_front("auto")]
SHORTENED = {"FUZZ_CASES": "4000", "SESSION_OPERATIONS": "50000"}

SUITES: dict[str, tuple[str, ...]] = {
    "the door": (
        *("tests/service/api", "--ignore=tests/service/api/fronts"),  # which chooses its fronts by itself
        "tests/service/client/test_against_the_server.py",
        "tests/service/client/test_stream.py",
        "tests/service/test_security.py",
        "tests/service/test_drain.py",
    ),
    "foreign clients": (
        *("-m", "e2e", "tests/e2e/test_tritonclient.py", "tests/e2e/test_tritonclient_manage.py"),
        *("tests/e2e/test_tritonclient_sequences.py", "tests/e2e/test_reflection.py", "tests/e2e/test_health.py"),
    ),
    "perf_analyzer": ("-m", "e2e", "tests/e2e/test_perf_analyzer.py", "tests/e2e/test_perf_analyzer_sequences.py"),
    "strange requests": ("-m", "e2e", "tests/e2e/test_fuzz_door.py"),
    "live sequences": ("-m", "e2e", "tests/e2e/test_sessions_property.py"),
}


@pytest.mark.skipif(Settings().front != "auto", reason="the front of this run was chosen")
@pytest.mark.parametrize("suite", SUITES)
def test_on_the_other_front(suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    environment = os.environ | SHORTENED | {"CELLSERVE_FRONT": OTHER}
    command = (sys.executable, "-m", "pytest", "-q", *SUITES[suite])
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{suite} on {OTHER}: {done.stdout.splitlines()[-1] if done.stdout else done.stderr}")
    assert done.returncode == 0, done.stdout[-5000:]
