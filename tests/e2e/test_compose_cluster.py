"""deploy/compose.cluster.yaml for real: two servers, Envoy, Valkey and Prometheus in containers, killed into and scraped."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator

import numpy as np
import pytest

from cellserve.service.client import Client
from tests.e2e.compose import CLUSTER, CLUSTER_IMAGES, ROOT, CommandFailed, Compose, tool_or_skip
from tests.e2e.test_containers import eventually, prometheus

pytestmark = pytest.mark.e2e

REPLICAS = ("replica-1", "replica-2")


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    tool = tool_or_skip(CLUSTER_IMAGES)
    compose = Compose(tool, CLUSTER, services=("valkey", *REPLICAS, "envoy", "prometheus"))
    try:
        compose.up()
        for replica in REPLICAS:
            wait_for(compose, replica)
        yield compose
    finally:
        compose.down()


def wait_for(compose: Compose, replica: str) -> None:
    eventually(lambda: compose.exec("python", "-m", "cellserve.service.healthcheck", service=replica), CommandFailed)


def crash(compose: Compose, service: str) -> None:
    """Returns when another runs in its place."""
    before = compose.pid(service)
    compose.crash(service)
    eventually(lambda: compose.pid(service) not in (0, before) or None)
    if service in REPLICAS:
        wait_for(compose, service)


def test_no_death_of_a_container_loses_a_live_sequence(compose: Compose) -> None:
    with np.load(ROOT / "deploy/demo/digits-heldout.npz") as heldout:
        row = heldout["inputs"][0]
    with Client(f"127.0.0.1:{compose.port}") as client:
        eventually(lambda: client.ready() or None)
        whole = client.predict("digits", row)
        with client.sequence("digits", "mine") as sequence:
            deaths = dict(zip(np.linspace(1, len(row) - 1, 4).astype(int), (*REPLICAS, "valkey", "envoy"), strict=True))
            for number, step in enumerate(row):
                if number in deaths:
                    crash(compose, deaths[number])
                answer = sequence.feed(step[np.newaxis])
            assert sequence.position == len(row)
        np.testing.assert_allclose(answer, whole, rtol=1e-4, atol=1e-5)


def test_all_of_them_are_scraped(compose: Compose) -> None:
    eventually(lambda: prometheus(compose, 'sum(up{job="cellserve"}) == 2'), urllib.error.URLError)
    assert prometheus(compose, 'sum(up{job="cellserve"})') == 2
    assert prometheus(compose, 'sum(up{job="envoy"})') == 1
    assert prometheus(compose, "sum(cellserve_session_store_available) == 2") == 2


def test_the_store_knows_nobody_but_the_servers(compose: Compose) -> None:
    assert "NOAUTH" in compose.exec("valkey-cli", "ping", service="valkey")
    assert compose.exec("/bin/sh", "/etc/valkey/check.sh", service="valkey") == ""


def test_all_live_sequences_are_listed_at_each_server(compose: Compose) -> None:
    with Client(f"127.0.0.1:{compose.port}") as client:
        client.sequence("digits", "listed").open()
    for replica in REPLICAS:
        assert "listed" in compose.exec("cellserve", "sessions", "--url", "localhost:8001", service=replica)
