"""Mixed traffic by two processes, over TLS and with a token, against a real server that swaps a version meanwhile; its page is
opened in a real browser, and so is the one that compares two records.

LOAD_SECONDS in the environment sends for longer; LOAD_REPORT keeps the page and its pictures in that folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cellserve.service.client import Client
from cellserve.service.registry.repository.repository import Repository
from deploy.demo.server import COMMAND, Address, Server
from tests.e2e import browser
from tests.e2e.models import DEMO, STEPS, publish_all
from tests.service.tls import AUTHORITY, certificate, key

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("LOAD_SECONDS", 6))
TOKEN = "admin-0123456789abcdef"
SCENARIO = f"""
name: everything at once
duration_seconds: {SECONDS}
processes: 2
traffic:
  - {{name: short, model: digits, input: {DEMO / "digits-heldout.npz"}, arrivals: {{kind: poisson, rate_per_second: 20}}}}
  - name: bursts
    model: steps
    lengths: lognormal:40:4:200
    samples: 12
    arrivals: {{kind: bursts, rate_per_second: 3, burst_per_second: 30, every_seconds: 2, burst_seconds: 0.3}}
  - {{name: long, model: steps, lengths: "uniform:500:800", samples: 6, arrivals: {{kind: callers, callers: 1}}}}
  - name: live
    model: steps
    samples: 4
    feeds: {{count: 6, steps: 2, interval_seconds: 0.1}}
    arrivals: {{kind: callers, callers: 3}}
"""


def test_the_page_of_a_mixed_load_shows_everything_in_a_browser(tmp_path: Path) -> None:
    repository, kept = tmp_path / "repository", Path(os.environ.get("LOAD_REPORT", tmp_path))
    publish_all(repository)
    STEPS.publish(Repository(repository))  # version 2, with the same weights
    Repository(repository).set_alias(STEPS.name, "stable", 1)
    scenario, page, record = tmp_path / "scenario.yaml", kept / "page.html", tmp_path / "record.json"
    scenario.write_text(SCENARIO)
    (tmp_path / "tokens").write_text(f"admin {TOKEN}\n")
    (tmp_path / "token").write_text(TOKEN)
    guarded = ("--tls-certificate", str(certificate("server")), "--tls-key", str(key("server")), "--tokens", f"{tmp_path}/tokens")
    with Server(repository, tmp_path / "server.log", *guarded) as address:
        swapping = threading.Thread(target=_swap, args=(address,))
        command = (
            "load",
            "--scenario",
            str(scenario),
            "--url",
            f"grpcs://{_local(address)}",
            "--metrics-url",
            address.metrics_url,
        )
        command += ("--root-certificates", str(AUTHORITY), "--token-file", str(tmp_path / "token"))
        with subprocess.Popen((*COMMAND, *command, "--html", str(page), "--json"), stdout=subprocess.PIPE, text=True) as load:
            swapping.start()
            record.write_text(load.communicate()[0])
        swapping.join()
    assert load.returncode == 0, record.read_text()[-2000:]
    (run,) = json.loads(record.read_text())["runs"]
    assert {name: summary["wrong"] for name, summary in run["traffic"].items()} == dict.fromkeys(
        ("short", "bursts", "long", "live"), 0
    )
    assert all(summary["answered"] for summary in run["traffic"].values())
    assert {"cpu_cores", "rows", "padding_ratio"} <= {
        name for seen in run["server"] for name, value in seen.items() if value is not None
    }
    assert "http" not in page.read_text()
    document = browser.drawn(page)
    for title in (
        "Latency by percentile",
        "Queue and compute",
        "Rows of an iteration",
        "Padding",
        "Server: processor",
        "Server: memory",
    ):
        assert f'aria-label="{title}"' in document
    assert document.count("<polyline") >= 10
    light, dark = (browser.picture(page, kept / f"{name}.png", dark=name == "dark") for name in ("light", "dark"))
    assert light != dark
    browser.picture(page, kept / "phone.png", width=400)
    compared = kept / "compared.html"
    subprocess.run((*COMMAND, "report", str(record), str(record), "--html", str(compared)), check=True)
    assert 'aria-label="Latency by percentile"' in browser.drawn(compared)
    browser.picture(compared, kept / "compared.png")


def _local(address: Address) -> str:
    """By the name that is in its certificate."""
    return address.url.replace("127.0.0.1", "localhost")


def _swap(address: Address) -> None:
    """While the load is sent."""
    with Client(f"grpcs://{_local(address)}", token=TOKEN, root_certificates=AUTHORITY.read_bytes()) as client:
        time.sleep(SECONDS)  # learning and starting take a while; which of the answers come before does not matter
        client.promote(STEPS.name, 2)
