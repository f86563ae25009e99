"""Health as probes and orchestrators ask for it, up to the end: NOT_SERVING while the last request is still worked on."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client, ServiceError
from deploy.demo.server import Address, Server
from tests.e2e.foreign import CLIENTS, ForeignClient
from tests.e2e.metrics import scrape
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

NAMES = ("", "digits", "digits/1", "steps", "inference.GRPCInferenceService", "cellserve.v1.Sequences", "cellserve.v1.Registry")
LONG_STEPS = 10_000
PATIENCE_SECONDS = 120.0


@contextmanager
def watching(server: Address, *names: str) -> Iterator[subprocess.Popen[str]]:
    """A watcher in a process of its own, once it has had a first answer for each name."""
    command = [str(interpreter("grpc")), str(CLIENTS / "probing.py"), "watch", server.url, *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        try:
            assert watcher.stderr is not None
            assert watcher.stderr.readline() == "watching\n"
            yield watcher
        finally:
            watcher.kill()


def test_check(server: Address) -> None:
    told = ForeignClient(interpreter("grpc"), "probing.py", (server.url,)).run("check", *NAMES, "nobody", "digits/2")
    assert told == dict.fromkeys(NAMES, "SERVING") | dict.fromkeys(("nobody", "digits/2"), "NOT_FOUND")


def test_not_serving_while_draining(repository: Path, tmp_path: Path) -> None:
    """SIGTERM with a request under way: watchers are told, newcomers are refused, and the request is answered."""
    answers: list[np.ndarray] = []
    inputs = np.zeros((LONG_STEPS, 3), np.float32)
    server = Server(repository, tmp_path / "server.log")
    with server as address, Client(address.url) as client, watching(address, "", "digits", "nobody") as watcher:
        client.predict("steps", inputs[:2])
        asking = threading.Thread(target=lambda: answers.append(client.predict("steps", inputs, implementation="1")))
        asking.start()
        wait_until_under_way(address)
        server.ask_to_stop()
        out, err = watcher.communicate(timeout=PATIENCE_SECONDS)
        under_way = asking.is_alive()  # when all watches had ended
        with pytest.raises(ServiceError):
            client.predict("steps", inputs[:2], timeout_seconds=1)
        asking.join(PATIENCE_SECONDS)
    assert json.loads(out) == {
        "": ["SERVING", "NOT_SERVING"],
        "digits": ["SERVING", "NOT_SERVING"],
        "nobody": ["SERVICE_UNKNOWN"],
    }, err
    assert under_way
    assert [answer.shape for answer in answers] == [(LONG_STEPS, 4)]


def wait_until_under_way(address: Address) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while 'cellserve_active_sequences{model="steps",version="1"} 1.0' not in scrape(address.metrics_url):
        assert time.monotonic() < deadline
        time.sleep(0.02)
