"""A server that speaks S3 (moto's, in memory), and what stands between it and those who ask: a relay that can be slow, refuse or
be gone.

One thread answers: with several, moto looks at a condition and writes in two steps, between which another write fits.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

from tests.e2e.venvs import interpreter

SERVER = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
print(server.server_port, flush=True)
server.serve_forever()
"""
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Way = Literal["open", "slow", "refusing", "gone"]


class Relay:
    """way: how it treats each connection that comes from now on."""

    def __init__(self, port: int) -> None:
        self.way: Way = "open"
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """By which S3 is asked here."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(caller, self.way), daemon=True).start()

    def _serve(self, caller: socket.socket, way: Way) -> None:
        with caller, suppress(OSError):
            if way == "gone":
                return
            if way == "refusing":
                caller.recv(1 << 16)
                caller.sendall(_REFUSAL)
                return
            if way == "slow":
                time.sleep(0.3)
            with socket.create_connection(("127.0.0.1", self._behind)) as behind:
                there = threading.Thread(target=_carry, args=(caller, behind), daemon=True)
                there.start()
                _carry(behind, caller)


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@contextmanager
def s3(bucket: str) -> Iterator[Relay]:
    """With this bucket, which is empty."""
    process = subprocess.Popen(
        [str(interpreter("s3")), "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/{bucket}", method="PUT")):
            relay = Relay(port)
        try:
            yield relay
        finally:
            relay.close()
    finally:
        process.kill()
        process.communicate()
