"""Servers in processes of their own, and the CPU time that each has used. Linux only. Knows no traffic."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cellserve.models.importers.imported import ImportedModel, Source
from cellserve.service.registry.repository.repository import Repository
from tests.bench.workloads import Workload


class ServerProcess:
    """Started by `command`, which prints `… on HOST:PORT …` once it serves and ends when its standard input is closed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r" on (\S+:\d+)", line)
        if found is None:
            raise RuntimeError(f"{' '.join(command)} said {line!r}, not where it listens")
        self.address = found[1]

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far: as in /proc/<pid>/stat, which counts in steps of 10 ms."""
        return cpu_seconds_of(self._process.pid)

    def cpu_seconds_with_children(self) -> float:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return self.cpu_seconds() + sum(cpu_seconds_of(int(child)) for child in children)

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


def cpu_seconds_of(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)


@contextmanager
def echo() -> Iterator[ServerProcess]:
    with running("tests.bench.door_echo") as server:
        yield server


@contextmanager
def cellserve(repository: str, *further: str) -> Iterator[ServerProcess]:
    options = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--log-level", "warning")
    with running("cellserve.service", "serve", "--repository", repository, *options, *further) as server:
        yield server


@contextmanager
def door_alone(repository: str, classes: int, front: str = "auto") -> Iterator[ServerProcess]:
    with running("tests.bench.door_alone", repository, str(classes), front) as server:
        yield server


@contextmanager
def sessions_echo(repository: str, workload: Workload) -> Iterator[ServerProcess]:
    with running("tests.bench.sessions_echo", repository, workload.name, str(workload.classes)) as server:
        yield server


@contextmanager
def repository_of(workload: Workload) -> Iterator[str]:
    """A folder with the workload's model, named like it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Source(framework="bench", version="", file=workload.name, digest="sha256:" + "0" * 64)
        Repository(Path(folder)).publish(workload.name, ImportedModel(workload.spec(), workload.weights(), source))
        yield folder


@contextmanager
def running(module: str, *arguments: str) -> Iterator[ServerProcess]:
    """`python -m module`, which says where it listens (or what it talks to); ended with the block."""
    server = ServerProcess([sys.executable, "-m", module, *arguments])
    try:
        yield server
    finally:
        server.stop()
