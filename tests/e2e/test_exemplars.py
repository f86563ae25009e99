"""From a latency to a trace: exemplars of a real server, in a real Prometheus, name traces that a collector has."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client
from deploy.demo.server import Server
from tests.e2e.models import DIGITS
from tests.e2e.prometheus import installed, scraping
from tests.service.tracing.collector import collecting

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not installed(), reason="needs prometheus and promtool: Debian's prometheus")]

PATIENCE_SECONDS = 300.0


def test_prometheus_shows_exemplars_whose_traces_the_collector_has(repository: Path, tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.float32)
    with collecting() as collector:
        options = ("--trace-endpoint", collector.url, "--trace-share", "1")
        with (
            Server(repository, tmp_path / "server.log", *options) as address,
            scraping(address.metrics_url, tmp_path, features=("exemplar-storage",)) as prometheus,
            Client(address.url) as client,
        ):
            found: set[str] = set()
            end = time.monotonic() + PATIENCE_SECONDS
            while not any(collector.trace(trace_id) for trace_id in found):
                assert time.monotonic() < end, found
                client.predict(DIGITS, image)
                time.sleep(1)
                found |= {
                    exemplar["labels"]["trace_id"]
                    for series in prometheus.exemplars(f'cellserve_request_duration_seconds_bucket{{model="{DIGITS}"}}', 600)
                    for exemplar in series["exemplars"]
                }
    (whole, *parts) = next(spans for trace_id in found if (spans := collector.trace(trace_id)))
    assert whole.name.endswith(("Run", "ModelInfer"))
    assert {"door", "reply"} <= {span.name for span in parts}
