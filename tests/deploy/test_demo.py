"""The demo as a person runs it: it succeeds, it fails loudly, and it leaves nothing behind."""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

DEMO = Path(__file__).parents[2] / "deploy" / "demo"
PATIENCE_SECONDS = 120


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, its siblings importable as they are for the script."""
    monkeypatch.syspath_prepend(str(DEMO))
    return importlib.import_module("demo")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo under way, its temporary files in tmp_path."""
    environment = os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        (sys.executable, str(DEMO / "demo.py")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def leftovers(folder: Path) -> list[Path]:
    """What the demo should have removed (torch may leave caches of its own beside it)."""
    return list(folder.glob("cellserve-demo-*"))


def test_it_answers_as_keras_does_and_leaves_nothing(running: subprocess.Popen[str], tmp_path: Path) -> None:
    printed, _ = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 0, printed
    assert printed.count("389/400") == 4  # whole images, once an implementation, as train.py printed
    assert printed.count("172/200") == 4  # cut ones
    assert "Every answer equals Keras's" in printed
    assert leftovers(tmp_path) == []


def test_interrupted_it_stops_its_server_and_removes_its_files(running: subprocess.Popen[str], tmp_path: Path) -> None:
    assert running.stdout is not None
    port = next(int(match[1]) for line in running.stdout if (match := re.search(r"ready: gRPC on 127\.0\.0\.1:(\d+)", line)))
    socket.create_connection(("127.0.0.1", port)).close()

    running.send_signal(signal.SIGTERM)
    printed, _ = running.communicate(timeout=PATIENCE_SECONDS)

    assert running.returncode == 130, printed
    assert leftovers(tmp_path) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_every_held_out_sequence_is_asked_once(demo: ModuleType) -> None:
    held_out = demo.HeldOut.load(DEMO / "digits-heldout.npz")
    rows = [row for request in held_out.requests() for row in range(request.start, request.stop)]
    assert rows == list(range(len(held_out.inputs))) == list(range(600))
    assert {len(sequence) for sequence in held_out.inputs} == {3, 4, 5, 6, 7, 8}
    assert {len(held_out.inputs[request]) for request in held_out.requests()} >= {1, 12}


@pytest.mark.parametrize("wrong", [1e-4, np.nan])
def test_an_answer_other_than_keras_s_fails(demo: ModuleType, wrong: float) -> None:
    held_out = demo.HeldOut.load(DEMO / "digits-heldout.npz")
    answers = held_out.expected.copy()
    demo.check_answers({"2": answers}, held_out)
    answers[17, 3] += wrong
    with pytest.raises(demo.DemoFailed, match="sequence 17 "):
        demo.check_answers({"2": answers}, held_out)


def test_a_miscount_of_the_metrics_fails(demo: ModuleType) -> None:
    latency = importlib.import_module("scrape").Latency
    demo.check_counts({"2": latency(5, {})}, {"2": 5})
    with pytest.raises(demo.DemoFailed, match="were sent"):
        demo.check_counts({"2": latency(4, {})}, {"2": 5})
    with pytest.raises(demo.DemoFailed):
        demo.check_counts({}, {"2": 5})
