"""A real Prometheus on this machine, with the rules of deploy/: started on a free port, asked, always ended.

Debian's package `prometheus` brings it, and promtool.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
READY_SECONDS = 60.0


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        result: list[dict[str, Any]] = self._get("query", query=query)["result"]
        return result

    def course(self, query: str, seconds: float, step_seconds: float) -> list[dict[str, Any]]:
        """The samples of a query over the last seconds."""
        now = time.time()
        asked = {"query": query, "start": f"{now - seconds}", "end": f"{now}", "step": f"{step_seconds}"}
        result: list[dict[str, Any]] = self._get("query_range", **asked)["result"]
        return result

    def exemplars(self, query: str, seconds: float) -> list[dict[str, Any]]:
        """Of the series of a query, over the last seconds; it keeps them where that feature is asked for."""
        now = time.time()
        result: list[dict[str, Any]] = self._get("query_exemplars", query=query, start=f"{now - seconds}", end=f"{now}")
        return result

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as reply:
            return json.load(reply)["data"]


def installed() -> bool:
    return all(shutil.which(tool) for tool in ("prometheus", "promtool"))


@contextmanager
def scraping(metrics_url: str, folder: Path, interval_seconds: int = 1, features: tuple[str, ...] = ()) -> Iterator[Prometheus]:
    """A Prometheus with the configuration of deploy/, but for whom it scrapes and how often. features: of its own."""
    configuration = yaml.safe_load((RULES / "prometheus.yml").read_text())
    configuration["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{interval_seconds}s")
    configuration["rule_files"] = [str(RULES / name) for name in configuration["rule_files"]]
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": [urllib.parse.urlparse(metrics_url).netloc]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            ("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
            + (f"--web.listen-address={address}", *(f"--enable-feature={feature}" for feature in features)),
            stdout=log,
            stderr=log,
        )
    try:
        prometheus = Prometheus(f"http://{address}")
        end = time.monotonic() + READY_SECONDS
        while not prometheus.ready():
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            assert time.monotonic() < end, (folder / "prometheus.log").read_text()
            time.sleep(0.2)
        yield prometheus
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
