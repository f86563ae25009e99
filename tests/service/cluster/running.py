"""A cluster in processes of its own: `cellserve cluster up`, as a person starts it, over one small model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellserve.service.cluster import binaries
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from tests.service.processes import scrape
from tests.service.served import publish

LIMIT_SECONDS = 300
COMMAND = (sys.executable, "-m", "cellserve.service", "cluster")


def missing() -> str | None:
    """Which program is not on this machine; None: all are."""
    try:
        binaries.envoy()
        binaries.valkey()
    except ClusterFailed as error:
        return str(error)
    return None


class Running:
    """facts: the one line that it printed. process: of whoever keeps it running."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._folder = Folder(folder)
        command = (*COMMAND, "up", "--json", "--port", "0", "--folder", str(folder), *arguments)
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.end()[2]
        self.facts: dict[str, Any] = json.loads(line)

    @property
    def url(self) -> str:
        found: str = self.facts["url"]
        return found

    def state(self) -> dict[str, Any]:
        return self._folder.state()

    def replica(self, which: int) -> dict[str, Any]:
        found: dict[str, Any] = self.state()["replicas"][which]
        return found

    def kill(self, which: int) -> None:
        os.kill(self.replica(which)["pid"], signal.SIGKILL)

    def wait_until(self, true: Callable[[dict[str, Any]], bool]) -> None:
        """true: of the state."""
        end = time.monotonic() + LIMIT_SECONDS
        while not true(self.state()):
            assert time.monotonic() < end, self.state()
            time.sleep(0.01)

    def wait_for(self, which: int, restarts: int) -> None:
        """Until that replica serves in its life after so many deaths."""
        self.wait_until(
            lambda state: (state["replicas"][which]["restarts"], state["replicas"][which]["state"]) == (restarts, "ready")
        )

    def counted(self, which: int, series: str, label: str = "") -> int:
        """What the metrics page of a replica shows of a series, those with `label` together."""
        page = scrape(int(self.replica(which)["metrics_url"].rpartition("/")[0].rpartition(":")[2]))
        lines = [line for line in page.splitlines() if line.startswith(f"{series}{{") and label in line]
        return int(sum(float(line.rpartition(" ")[2]) for line in lines))

    def repeated(self, which: int) -> int:
        """Answers that the replica gave again."""
        return self.counted(which, "cellserve_session_events_total", 'event="repeated"')

    def end(self) -> tuple[int, str, str]:
        """Asks it to end, unless it has, and waits: exit code, the rest of standard output, standard error."""
        if self.process.poll() is None:
            self.process.terminate()
        out, err = self.process.communicate(timeout=LIMIT_SECONDS)
        return self.process.returncode, out, err


@contextmanager
def cluster(folder: Path, *further: str, replicas: int = 2, **environment: str) -> Iterator[Running]:
    """further: options of `cluster up`, and after -- those of its servers. environment: CELLSERVE_…, without that."""
    repository = folder / "repository"
    publish(repository)
    arguments = ("--repository", str(repository), "--replicas", str(replicas), *further)
    given = {"IMPLEMENTATION": "2", "LOG_LEVEL": "error"} | environment
    running = Running(folder / "cluster", arguments, {f"CELLSERVE_{name}": value for name, value in given.items()})
    try:
        yield running
    finally:
        running.end()
