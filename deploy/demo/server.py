"""A cellserve server in a process of its own, for as long as a `with` block: started on free ports, always ended.

Knows the command line and the ready line; no models, no requests.
"""

from __future__ import annotations

import re
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

COMMAND = (sys.executable, "-m", "cellserve.service")
READY = re.compile(r"cellserve ready on (?P<host>\S+):(?P<port>\d+) \(metrics (?P<metrics_port>\d+)\)")
# Only what hangs is ended by these: a machine that others keep busy takes its time.
READY_SECONDS = 300.0
STOP_SECONDS = 120.0


class ServerFailed(Exception):
    """The server could not be started, or did not stop as asked; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Address:
    url: str
    metrics_url: str


class Server:
    """`with Server(repository, log) as address:`; leaving the block sends SIGTERM and waits. Standard error goes to `log`.

    options: further ones of `cellserve serve`.
    """

    def __init__(self, repository: Path, log: Path, *options: str) -> None:
        self._repository = repository
        self._log = log
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._asked = False

    def __enter__(self) -> Address:
        arguments = ("serve", "--repository", str(self._repository), "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
        arguments += self._options
        with self._log.open("w") as log:
            # A session of its own: Ctrl-C reaches only the caller, who then ends the server in order.
            self._process = subprocess.Popen(
                (*COMMAND, *arguments), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        try:
            return self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        code = self._end()
        if kind is None and code != 0:
            raise ServerFailed(f"the server ended with code {code} when asked to stop.\n{self._tail()}")

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server runs only inside the block"
        return self._process.pid

    def ask_to_stop(self) -> None:
        """SIGTERM, once, without waiting; leaving the block then only waits: a second signal would cut the drain short."""
        if self._process is not None and not self._asked:
            self._asked = True
            self._process.terminate()

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> Address:
        assert process.stdout is not None  # a pipe was asked for
        deadline = time.monotonic() + READY_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(deadline - time.monotonic()):
                raise ServerFailed(f"the server was not ready within {READY_SECONDS:g} s.\n{self._tail()}")
        line = process.stdout.readline()
        match = READY.search(line)
        if match is None:
            raise ServerFailed(f"the server printed {line!r} instead of its ready line.\n{self._tail()}")
        return Address(f"{match['host']}:{match['port']}", f"http://{match['host']}:{match['metrics_port']}/metrics")

    def _end(self) -> int:
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            try:
                return process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()
            except BaseException:  # a second Ctrl-C while waiting
                process.kill()
                raise

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(["The end of its log:", *(f"  {line}" for line in lines[-15:])])


def run_cli(*arguments: str) -> str:
    """One cellserve command: its standard output. Raises ServerFailed with what it said."""
    done = subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"cellserve {' '.join(arguments)} ended with code {done.returncode}:\n{done.stderr or done.stdout}")
    return done.stdout
