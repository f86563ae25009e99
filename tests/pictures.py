"""The pictures of docs/: `make pictures` (python -m tests.pictures) draws them anew, of a real server under load.

The status page as a browser shows it, `cellserve top`, the page of a load test, and the dashboards: the queries of deploy/grafana
asked of a real Prometheus and drawn by our own plots. Needs chromium and prometheus (Debian's packages).
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from cellserve.service.cli.report.plot import plot
from cellserve.service.pages.document import document, key
from deploy.demo.server import COMMAND, Server
from deploy.grafana.panels import DASHBOARDS, Dashboard, Panel
from tests.e2e import browser
from tests.e2e.every_load import SHOP, TOKENS, Load
from tests.e2e.models import DEMO, publish_all
from tests.e2e.prometheus import Prometheus, scraping
from tests.site import PICTURES

_LOAD_SECONDS: Final = 60.0
_STEP_SECONDS: Final = 2.0
_MOST_LINES: Final = 6  # as many as there are colours
_WIDTHS: Final = {"status": 1000, "status-phone": 500, "top": 1000, "report": 1100}
_DASHBOARD_WIDTH: Final = 1280
_LABEL: Final = re.compile(r"\{\{\w+\}\}")  # that a series does not have
_SCENARIO: Final = f"""
name: pictures
duration_seconds: 15
traffic:
  - {{name: short, model: digits, input: {DEMO / "digits-heldout.npz"}, arrivals: {{kind: poisson, rate_per_second: 40}}}}
  - name: live
    model: steps
    features: 3
    samples: 4
    feeds: {{count: 6, steps: 2, interval_seconds: 0.1}}
    arrivals: {{kind: callers, callers: 2}}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pages = dict(_pages(folder))
        PICTURES.mkdir(exist_ok=True)
        for name, text in pages.items():
            page = folder / f"{name}.html"
            page.write_text(text)
            width = _WIDTHS.get(name, _DASHBOARD_WIDTH)
            browser.picture(page, PICTURES / f"{name}.png", width=width, height=browser.height(page, width))


def _pages(folder: Path) -> Iterator[tuple[str, str]]:
    publish_all(folder / "repository")
    (folder / "tokens").write_text(TOKENS)
    with np.load(DEMO / "digits-heldout.npz") as heldout:
        digits = heldout["inputs"]
    with (
        Server(folder / "repository", folder / "server.log", "--tokens", str(folder / "tokens")) as address,
        scraping(address.metrics_url, folder) as prometheus,
    ):
        with Load(address.url, digits):
            time.sleep(_LOAD_SECONDS)
            status = _still(address.metrics_url)
            yield "top", _terminal("top", "--once", "--url", urllib.parse.urlsplit(address.metrics_url).netloc)
            yield from ((dashboard.uid, _drawn(dashboard, prometheus)) for dashboard in DASHBOARDS)
        yield from (("status", status), ("status-phone", status))
        scenario, token, report = folder / "scenario.yaml", folder / "token", folder / "report.html"
        scenario.write_text(_SCENARIO)
        token.write_text(SHOP)
        command = (*COMMAND, "load", "--scenario", str(scenario), "--url", address.url, "--token-file", str(token))
        command += ("--sweep", "packed,onnxruntime", "--metrics-url", address.metrics_url, "--html", str(report))
        subprocess.run(command, check=True, stdout=sys.stderr)
        yield "report", report.read_text()


def _terminal(*command: str) -> str:
    """What a command prints, as a page."""
    wide = os.environ | {"COLUMNS": "110"}
    done = subprocess.run((*COMMAND, *command), check=True, capture_output=True, text=True, env=wide)
    return document(f"cellserve {command[0]}", [f"<pre>{html.escape(done.stdout)}</pre>"])


def _still(metrics_url: str) -> str:
    """The status page of the last seconds, which does not ask again while it is drawn."""
    url = metrics_url.removesuffix("/metrics") + "/"
    for wait_seconds in (5.0, 0.0):
        with urllib.request.urlopen(url, timeout=60) as page:
            text = str(page.read().decode())
        time.sleep(wait_seconds)
    return text.replace('http-equiv="refresh"', "")


def _drawn(dashboard: Dashboard, prometheus: Prometheus) -> str:
    sections = []
    for row in dashboard.rows:
        panels = "\n".join(filter(None, (_panel(panel, prometheus) for panel in row.panels)))
        sections.append(f'<h2>{row.title}</h2>\n<div class="charts">\n{panels}\n</div>')
    return document(dashboard.title, sections)


def _panel(panel: Panel, prometheus: Prometheus) -> str:
    lines: dict[str, list[tuple[float, float | None]]] = {}
    began = time.time() - _LOAD_SECONDS
    for legend, asked in panel.queries.items():
        query = asked.replace("$__rate_interval", "15s").replace("$instance", ".+").replace("$model", ".+")
        for series in prometheus.course(query, _LOAD_SECONDS, _STEP_SECONDS):
            name = legend
            for label, value in series["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            name = _LABEL.sub("", name).strip()
            lines[name] = [(max(0.0, round(float(at) - began)), _number(value)) for at, value in series["values"]]
    shown = dict(list(lines.items())[:_MOST_LINES])
    drawn = plot(panel.title, "seconds", panel.unit, shown)
    return f"<div>{drawn}{key(list(shown))}</div>" if drawn else ""


def _number(value: str) -> float | None:
    found = float(value)
    return found if np.isfinite(found) else None


if __name__ == "__main__":
    main()
