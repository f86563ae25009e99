"""Servers in processes of their own, and what their metrics pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVE = (
    "import sys; from cellserve.service import app; from cellserve.service.config import Settings; sys.exit(app.run(Settings()))"
)
LIMIT_SECONDS = 60
HELD = """
import os, time
from cellserve.service.engine.running.chunk_runner import ChunkRunner
run = ChunkRunner.run
def held(*arguments):
    while os.path.exists(os.environ["HOLD"]):
        time.sleep(0.01)
    return run(*arguments)
ChunkRunner.run = held
"""  # a worker that waits while a file exists


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        return response.read().decode()


def sample(page: str, name: str) -> float:
    """The value of the one series that begins with `name`."""
    (line,) = (line for line in page.splitlines() if line.startswith(name))
    return float(line.rpartition(" ")[2])


def wait_for_rows(metrics_port: int, timesteps: int) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while sample(scrape(metrics_port), "cellserve_waiting_timesteps{") < timesteps:
        assert time.monotonic() < end
        time.sleep(0.01)


class Process:
    """A server in a process of its own."""

    def __init__(self, repository: Path, program: str = SERVE, **settings: object) -> None:
        defaults = {"repository": repository, "host": "127.0.0.1", "port": 0, "metrics_port": 0, "log_level": "error"}
        environment = {f"CELLSERVE_{name.upper()}": str(value) for name, value in (defaults | settings).items()}
        self.hold = repository.parent / f"hold-{id(self)}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | environment | {"HOLD": str(self.hold)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> tuple[int, int]:
        """The ports that its one line names."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.fullmatch(r"cellserve ready on 127\.0\.0\.1:(\d+) \(metrics (\d+)\)\n", line)
        assert found, line + self.end()[2]
        return int(found[1]), int(found[2])

    def end(self) -> tuple[int, str, str]:
        """Waits for its end: exit code, the rest of standard output, standard error."""
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err


@contextmanager
def ended_processes() -> Iterator[list[Process]]:
    """A list for those that a test starts, ended with it."""
    started: list[Process] = []
    try:
        yield started
    finally:
        for each in started:
            if each.process.poll() is None:
                each.process.kill()
            each.process.communicate()
