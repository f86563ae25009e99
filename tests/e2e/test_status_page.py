"""The status page of a real server under load, in a real browser, and `cellserve top` beside it.

STATUS_PICTURES keeps what the browser drew in that folder.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import Client, ServiceError
from cellserve.service.overview.page import REFRESH_SECONDS
from deploy.demo.server import COMMAND, Address, Server
from tests.e2e import browser
from tests.e2e.models import DIGITS, STEPS, STEPS_WIDTH, publish_all

pytestmark = pytest.mark.e2e

PHONE, DESK = 390, 1280
_LIMIT_SECONDS = 300
TITLES = ("Latency by implementation", "Refusals", "Versions and their queues", "Live sequences")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server that is asked all the time."""
    repository, ended = tmp_path_factory.mktemp("watched"), threading.Event()
    publish_all(repository)
    with Server(repository, tmp_path_factory.mktemp("log") / "server.log") as address:
        asking = threading.Thread(target=_ask, args=(address.url, ended))
        asking.start()
        yield address
        ended.set()
        asking.join()


def _ask(url: str, ended: threading.Event) -> None:
    """Good requests under two implementations, bad ones, and feeds of a live sequence, each of which may be refused."""
    image, short, steps = np.zeros((8, 8), np.float32), np.zeros((8, 7), np.float32), np.zeros((2, STEPS_WIDTH), np.float32)
    with Client(url) as client, client.sequence(STEPS.name) as sequence:
        asked = (
            lambda: client.predict(DIGITS, image, implementation="0"),
            lambda: client.predict(DIGITS, image, implementation="onnxruntime"),
            lambda: client.predict(DIGITS, short),
            lambda: sequence.feed(steps),
        )
        while not ended.wait(0.02):
            for ask in asked:
                with suppress(ServiceError):
                    ask()


def test_a_browser_shows_what_the_server_does(address: Address, tmp_path: Path) -> None:
    kept, page = Path(os.environ.get("STATUS_PICTURES", tmp_path)), f"{_base(address)}/"
    browser.drawn(page)
    threading.Event().wait(REFRESH_SECONDS)
    document = browser.drawn(page)
    for words in (*TITLES, "onnxruntime", "INVALID_INPUT", "<dd>ready</dd>", f"<td>{DIGITS}/1</td>"):
        assert words in document
    assert float(re.findall(r"<dt>answered/s</dt><dd>([\d.,]+)</dd>", document)[0].replace(",", "")) > 0
    still = tmp_path / "page.html"
    still.write_text(_still(address))
    wide = [browser.picture(still, kept / f"{name}.png", dark=name == "dark", width=DESK) for name in ("light", "dark")]
    assert wide[0] != wide[1]


def test_nothing_sticks_out_at_a_phones_width(address: Address, tmp_path: Path) -> None:
    kept = Path(os.environ.get("STATUS_PICTURES", tmp_path))
    framed, measure = tmp_path / "phone.html", "document.title = frame.contentDocument.documentElement.scrollWidth"
    frame = f'<iframe id="frame" srcdoc="{escape(_still(address))}" width="{PHONE}" height="2400" style="border: 0"></iframe>'
    framed.write_text(f"<!DOCTYPE html><body style='margin: 0'>{frame}<script>frame.onload = () => {{ {measure} }}</script>")
    assert f"<title>{PHONE}</title>" in browser.drawn(framed)
    for name in ("light", "dark"):
        browser.picture(framed, kept / f"phone-{name}.png", dark=name == "dark", width=PHONE, height=2400)


def test_the_terminal_shows_the_same_server(address: Address) -> None:
    shown, seen = _top(address, "--once"), json.loads(_top(address, "--json"))
    assert all(title in shown for title in TITLES)
    assert {run["implementation"] for run in seen["runs"]} >= {"0", "onnxruntime"}
    assert seen["traffic"]["answered"] > 0
    assert {refusal["name"] for refusal in seen["refusals"]} >= {"INVALID_INPUT"}
    (live,) = seen["live_sequences"]
    assert live["version"] == "1"


def _top(address: Address, how: str) -> str:
    command = (*COMMAND, "top", "--url", address.metrics_url, "--every", "5", how)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_SECONDS).stdout


def _still(address: Address) -> str:
    """The page, which does not ask again: a browser that is slow would begin its picture anew each time."""
    with urllib.request.urlopen(f"{_base(address)}/", timeout=_LIMIT_SECONDS) as page:
        return str(page.read().decode()).replace('http-equiv="refresh"', "")


def _base(address: Address) -> str:
    return address.metrics_url.removesuffix("/metrics")
