"""A repository in an object store that speaks S3: publishers and servers on it, killed, with the store slow, refusing or gone.

STORE_PUBLISHER_KILLS says how many publishers are killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.client import Client
from cellserve.service.config import Settings
from cellserve.service.errors import RepositoryAway
from cellserve.service.registry.repository.remote.opening import home_of
from cellserve.service.registry.repository.repository import Repository
from tests.e2e.s3 import Relay, Way, s3
from tests.service.processes import SERVE, Process, sample, scrape
from tests.service.registry.fakes import imported, passing_gate

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("STORE_PUBLISHER_KILLS", 12))
PATIENCE_SECONDS = 120.0
LONGEST_SECONDS = 1.5  # in which a publisher makes a few versions, about
URL = "s3://models/all/of/them"
PUBLISHER = """
import sys
from pathlib import Path
from cellserve.service.config import Settings
from cellserve.service.registry.repository.remote.opening import home_of
from cellserve.service.registry.repository.repository import Repository
from tests.service.registry.fakes import imported, passing_gate
store = Repository(home_of(Settings()), gate=passing_gate)
print("ready", flush=True)
for seed in map(int, sys.argv[2:]):
    store.publish("digits", imported(seed), alias=f"{sys.argv[1]}{seed}")
"""


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Relay]:
    with s3("models") as relay:
        for name, value in relay.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CELLSERVE_REPOSITORY", URL)
        monkeypatch.setenv("CELLSERVE_REPOSITORY_CACHE_FOLDER", str(tmp_path / "cache"))
        monkeypatch.setenv("CELLSERVE_REPOSITORY_POLL_SECONDS", "0.2")
        yield relay


def machine(folder: Path) -> Repository:
    """Another machine's view."""
    store = Repository(home_of(Settings(repository_cache_folder=folder)), gate=passing_gate)
    store.refresh()
    return store


def publisher(cache: Path, name: str, *seeds: int) -> subprocess.Popen[str]:
    """In a process of its own, once it is ready to publish."""
    environment = os.environ | {"CELLSERVE_REPOSITORY_CACHE_FOLDER": str(cache)}
    command = [sys.executable, "-c", PUBLISHER, name, *map(str, seeds)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_publishers_at_once_share_no_number_and_lose_no_alias(relay: Relay, tmp_path: Path) -> None:
    publishers = [publisher(tmp_path / name, name, *range(8)) for name in ("a", "b", "c")]
    for each in publishers:
        each.communicate(timeout=PATIENCE_SECONDS)
        assert each.returncode == 0
    store = machine(tmp_path / "another")
    assert store.versions("digits") == list(range(1, 25))
    assert sorted(store.aliases("digits").values()) == list(range(1, 25))
    assert len(store.alias_trail("digits").moves) == 24


def test_publishers_that_are_killed_leave_whole_versions_or_none(relay: Relay, tmp_path: Path) -> None:
    numbers = random.Random(5)
    publisher(tmp_path / "cache", "first", 10**6).communicate(timeout=PATIENCE_SECONDS)
    for kill in range(KILLS):
        process = publisher(tmp_path / "cache", "k", *range(100 * kill, 100 * kill + 50))
        time.sleep(numbers.uniform(0, LONGEST_SECONDS))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store = machine(tmp_path / "another")
    versions = store.versions("digits")
    assert versions == list(range(1, len(versions) + 1))
    digests = [store.weights("digits", version).digest for version in versions]
    assert len(set(digests)) == len(digests)
    assert set(store.aliases("digits").values()) <= set(versions)


def test_the_commands_work_on_a_url_as_on_a_folder(relay: Relay, tmp_path: Path) -> None:
    store = Repository(home_of(Settings()))
    for seed in range(3):
        store.publish("digits", imported(seed))

    def run(*arguments: str, answer: str | None = None) -> str:
        result = CliRunner().invoke(app, [*arguments, "--repository", URL], input=answer, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    assert "digits@stable is digits/2" in run("promote", "digits", "2")
    assert f"Models in {URL}" in run("models")
    assert [row["version"] for row in json.loads(run("models", "--json"))] == [1, 2, 3]
    assert run("verify", "digits").count("ok") == 3
    assert json.loads(run("show", "digits@stable", "--json"))["version"] == 2
    run("remove", "digits/1", "--yes")
    run("prune", "digits", "--keep", "1", "--yes")
    assert machine(tmp_path / "another").versions("digits") == [2, 3]
    relay.way = "gone"
    for command in (["models"], ["promote", "digits", "3"], ["remove", "digits/3", "--yes"]):
        result = CliRunner().invoke(app, [*command, "--repository", URL])
        assert result.exit_code == 2
        assert f"{URL} cannot be asked to list" in result.output
        assert "Traceback" not in result.output


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def readiness(metrics_port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/readyz") as page:
        return str(page.read().decode())


def test_a_server_goes_on_while_the_store_is_slow_refuses_or_is_gone(relay: Relay, tmp_path: Path) -> None:
    publishing = Repository(home_of(Settings(repository_cache_folder=tmp_path / "publisher")))
    publishing.publish("digits", imported(), alias="stable")
    server = Process(tmp_path / "nowhere", f"import os; os.environ['CELLSERVE_REPOSITORY'] = {URL!r}; {SERVE}", device="cpu")
    try:
        port, metrics_port = server.ready()
        with Client(f"127.0.0.1:{port}") as client:
            row = np.zeros((4, 3), np.float32)
            first = client.run("digits", [row])
            ways: tuple[Way, ...] = ("slow", "refusing", "gone")
            for number, way in enumerate(ways, start=2):
                relay.way = way
                if way != "slow":
                    wait_until(lambda: sample(scrape(metrics_port), "cellserve_repository_available") == 0)
                    assert "what is published since is not known" in readiness(metrics_port)
                    with pytest.raises(RepositoryAway):
                        publishing.refresh()
                for _ in range(20):
                    again = client.run("digits", [row])
                    assert again.version == number - 1
                    if number == 2:
                        np.testing.assert_array_equal(again.answer[0], first.answer[0])
                relay.way = "open"
                wait_until(lambda: sample(scrape(metrics_port), "cellserve_repository_available") == 1)
                assert readiness(metrics_port) == "ready\n"
                publishing.publish("digits", imported(number), alias="stable")
                wait_until(lambda n=number: client.run("digits", [row]).version == n)  # type: ignore[misc]
    finally:
        server.process.terminate()
        server.end()
