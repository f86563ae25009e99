"""The metrics page, the rules and every panel of every dashboard, with the real Prometheus and promtool, under load."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.server import Address, Server
from deploy.grafana.panels import DASHBOARDS
from tests.e2e.every_load import TOKENS, Load
from tests.e2e.metrics import scrape
from tests.e2e.models import publish_all
from tests.e2e.prometheus import RULES, Prometheus, installed, scraping

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not installed(), reason="needs prometheus and promtool: Debian's prometheus")]

PATIENCE_SECONDS = 90.0
QUERIES = {
    f"{dashboard.title}, {row.title}, {panel.title}: {legend}": query
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row.panels
    for legend, query in panel.queries.items()
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    root, folder = tmp_path_factory.mktemp("monitored"), tmp_path_factory.mktemp("settings")
    publish_all(root)
    tokens = folder / "tokens"
    tokens.write_text(TOKENS)
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
