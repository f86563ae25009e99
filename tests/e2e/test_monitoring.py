"""The metrics page, the rules and every panel of every dashboard, with the real Prometheus and promtool, under load."""

from __future__ import annotations

import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client, RetryPolicy, ServiceError
from deploy.demo.server import Address, Server
from deploy.grafana.panels import DASHBOARDS
from tests.e2e.metrics import scrape
from tests.e2e.models import DIGITS, STEPS_WIDTH, publish_all
from tests.e2e.prometheus import RULES, Prometheus, installed, scraping

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not installed(), reason="needs prometheus and promtool: Debian's prometheus")]

SHOP, OPERATOR = "shop-0123456789abcdef", "operator-0123456789abcdef"
PATIENCE_SECONDS = 90.0
ONCE = RetryPolicy(attempts=1)
QUERIES = {
    f"{dashboard.title}, {row.title}, {panel.title}: {legend}": query
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row.panels
    for legend, query in panel.queries.items()
}


class Load:
    """Requests of every kind, good and bad, from a thread, until it is ended."""

    def __init__(self, url: str, digits: np.ndarray) -> None:
        self._url = url
        self._digits = digits
        self._ended = threading.Event()
        self.refused = 0
        self._threads = [
            threading.Thread(target=work, args=(self._client(SHOP),)) for work in (self._ask, self._feed, self._long)
        ]
        self._threads += [threading.Thread(target=self._intrude, args=(self._client("guessed-0123456789"),))]
        self._threads += [threading.Thread(target=self._hurry, args=(self._client(SHOP),)) for _ in range(4)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _client(self, token: str) -> Client:
        return Client(self._url, token=token, retry=ONCE)

    def _ask(self, client: Client) -> None:
        number = 0
        with client:
            while not self._ended.wait(0.002):
                number += 1
                implementation = ("0", "onnxruntime", None)[number % 3]
                rows = list(self._digits[number % 50 : number % 50 + 3])
                self._attempt(partial(client.predict, DIGITS, rows, implementation=implementation))
                if number % 5 == 0:
                    self._attempt(lambda: client.predict(DIGITS, self._digits[0][:, :7]))

    def _feed(self, client: Client) -> None:
        steps = np.zeros((2, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.05):
                with client.sequence("steps") as sequence:
                    for _ in range(5):
                        self._attempt(partial(sequence.feed, steps))

    def _long(self, client: Client) -> None:
        steps = np.zeros((400_000, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.01):
                self._attempt(lambda: client.predict("steps", [steps, steps[:2000]], timeout_seconds=60))

    def _hurry(self, client: Client) -> None:
        """There is no time for this: it is refused for its deadline."""
        steps = np.zeros((200_000, STEPS_WIDTH), np.float32)
        with client:
            while not self._ended.wait(0.2):
                self._attempt(lambda: client.predict("steps", steps, timeout_seconds=0.03))

    def _intrude(self, client: Client) -> None:
        """Without a good token, and by connections that say nothing and end."""
        host, _, port = self._url.rpartition(":")
        with client:
            while not self._ended.wait(0.1):
                socket.create_connection((host, int(port))).close()
                self._attempt(lambda: client.predict(DIGITS, self._digits[0]))

    def _attempt(self, call: Callable[[], object]) -> None:
        """Which may be refused: that is what is looked at."""
        try:
            call()
        except ServiceError:
            self.refused += 1


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    root, folder = tmp_path_factory.mktemp("monitored"), tmp_path_factory.mktemp("settings")
    publish_all(root)
    tokens = folder / "tokens"
    tokens.write_text(f"infer {SHOP} the web shop\nadmin {OPERATOR} the operators\n")
    with Server(root, folder / "server.log", "--tokens", str(tokens)) as address:
        yield address


@pytest.fixture(scope="module")
def prometheus(address: Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with np.load(Path(__file__).parents[2] / "deploy/demo/digits-heldout.npz") as heldout:
        digits = heldout["inputs"]
    with scraping(address.metrics_url, tmp_path_factory.mktemp("prometheus")) as prometheus, Load(address.url, digits):
        yield prometheus


def finite(samples: list[dict[str, object]]) -> bool:
    return any(math.isfinite(float(sample["value"][1])) for sample in samples)  # type: ignore[index]


@pytest.mark.parametrize("panel", QUERIES)
def test_a_panel_shows_something_under_load(prometheus: Prometheus, panel: str) -> None:
    query = QUERIES[panel].replace("$__rate_interval", "15s").replace("$instance", ".+").replace("$model", ".+")
    end = time.monotonic() + PATIENCE_SECONDS
    while not finite(prometheus.query(query)):
        assert time.monotonic() < end, query
        time.sleep(1)


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while any(rule["health"] != "ok" for rule in prometheus.rules()):
        assert time.monotonic() < end, prometheus.rules()
        time.sleep(1)
    recorded = [rule["name"] for rule in prometheus.rules() if rule["type"] == "recording"]
    assert recorded
    for name in recorded:
        while not finite(prometheus.query(name)):  # what came of the first evaluations may be nothing
            assert time.monotonic() < end, name
            time.sleep(1)


def test_promtool_finds_nothing_wrong(prometheus: Prometheus, address: Address) -> None:
    page = subprocess.run(
        ("promtool", "check", "metrics"), input=scrape(address.metrics_url), capture_output=True, text=True, check=False
    )
    assert (page.returncode, page.stdout, page.stderr) == (0, "", "")
    rules = subprocess.run(
        ("promtool", "check", "config", str(RULES / "prometheus.yml")), capture_output=True, text=True, check=False
    )
    assert rules.returncode == 0, rules.stdout + rules.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = subprocess.run(
        ("promtool", "test", "rules", str(Path(__file__).parent / "alerts.yml")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
