"""Mixed traffic for minutes: at the end memory, descriptors, threads, connections and calls are as at the begin.

SOAK_MINUTES in the environment soaks for longer; CELLSERVE_FRONT, another front. Latencies are told, fifth by fifth, and not
judged: the machine is shared. How long server and test had to wait for a processor is told beside them, and makes nobody late.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.demo.server import Server
from tests.e2e.metrics import scrape
from tests.e2e.processes import Footprint, footprint
from tests.e2e.soak_traffic import Traffic, publish_swapped
from tests.patience import Waited, waiting_for_a_processor, within

pytestmark = pytest.mark.e2e

SECONDS = 60.0 * float(os.environ.get("SOAK_MINUTES", 0.5))
PARTS = 5  # the first is to warm up
GROWTH_BYTES = 48 * 1024 * 1024
SETTLED_LOOKS = 300
REST_SECONDS = 60.0
CANCELLED = 150


async def test_nothing_stays_behind(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = shutil.copytree(repository, tmp_path / "repository")
    publish_swapped(own)
    log, server = tmp_path / "server.log", Server(own, tmp_path / "server.log")
    course: list[tuple[Footprint, list[float], float]] = []
    with server as address:
        waited = waiting_for_a_processor(server.pid)
        traffic = Traffic(address.url, waited)
        for _ in range(PARTS):
            busy = _Share(waited)
            took = await traffic.run(SECONDS / PARTS)
            course.append((await _settled(server.pid, address.metrics_url), took, busy.of_the_time()))
        series = scrape(address.metrics_url)
    with capsys.disabled():
        print(f"\n{SECONDS:.0f} s: {', '.join(f'{kind} {count}' for kind, count in traffic.done.most_common())}")
        for at, took, share in course:
            times = f"p50 {_milliseconds(took, 50)} ms, p99 {_milliseconds(took, 99)} ms"
            print(f"{at}; {len(took)} good answers, {times}; {share:.2f} threads waited for a processor")
        print("\n".join(line for line in series.splitlines() if line.startswith(("cellserve_connections", "cellserve_build"))))
    before, after = course[0][0], course[-1][0]
    assert not traffic.wrong, traffic.wrong[:5]
    assert "Traceback" not in log.read_text()
    assert _under_way(series) == 0
    assert after.resident_bytes - before.resident_bytes < GROWTH_BYTES
    assert after.descriptors <= before.descriptors + 2
    assert after.threads <= before.threads + 2


class _Share:
    """How many threads waited for a processor, on the mean since it was made."""

    def __init__(self, waited: Waited) -> None:
        self._waited = waited
        self._began, self._before = time.monotonic(), waited()

    def of_the_time(self) -> float:
        return (self._waited() - self._before) / (time.monotonic() - self._began)


def _milliseconds(took: list[float], percentile: float) -> str:
    return f"{1e3 * np.percentile(took, percentile):.1f}"


async def _settled(pid: int, metrics_url: str) -> Footprint:
    """Once every connection is closed and every call has ended; the limit only keeps a broken server from hanging the test."""
    for _ in range(SETTLED_LOOKS):
        if not _under_way(scrape(metrics_url)):
            break
        await asyncio.sleep(0.1)
    return footprint(pid)


def _under_way(series: str) -> float:
    """Connections and calls."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(series):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    calls = sums["grpc_server_started_total"] - sums["grpc_server_handled_total"]
    return sums["cellserve_connections"] + calls + sums["cellserve_active_sequences"]


async def test_what_cancelled_large_requests_took_is_given_back(repository: Path, tmp_path: Path) -> None:
    """While the connection stays open; at the end, after a rest, hardly more is resident than before."""
    server = Server(repository, tmp_path / "server.log")
    with server as address:
        waited = waiting_for_a_processor(server.pid)
        traffic = Traffic(address.url, waited)
        await traffic.cancelled_together(1)
        before = await _settled(server.pid, address.metrics_url)
        await traffic.cancelled_together(CANCELLED)
        peak = footprint(server.pid)
        with suppress(TimeoutError):
            await within(REST_SECONDS, _at_rest(server.pid, before.resident_bytes + GROWTH_BYTES), waited)
        after = footprint(server.pid)
    assert after.resident_bytes - before.resident_bytes < GROWTH_BYTES, f"{before}, then {peak}, at the end {after}"


async def _at_rest(pid: int, resident_bytes: int) -> None:
    """Once it takes less than that."""
    while footprint(pid).resident_bytes >= resident_bytes:
        await asyncio.sleep(0.2)
