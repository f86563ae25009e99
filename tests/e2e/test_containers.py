"""The image and the compose file for real: built, started, asked through the published port, scraped, stopped in order."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from cellserve.service.client import Client, ServiceError
from tests.documented import blocks, commands, words
from tests.e2e.compose import ROOT, CommandFailed, Compose, Tool, tool_or_skip

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 60.0
TOLERANCE = 1e-5
ROWS = 20
T = TypeVar("T")


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    tool = tool_or_skip()
    compose = Compose(tool)
    try:
        compose.up()
        eventually(lambda: compose.exec("python", "-m", "cellserve.service.healthcheck"), CommandFailed)
        yield compose
    finally:
        compose.down()


def eventually(attempt: Callable[[], T], *refusals: type[Exception]) -> T:
    """The first result of `attempt` that is neither a refusal nor None; after PATIENCE_SECONDS whatever the last attempt gave."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            result = attempt()
        except refusals:
            if time.monotonic() > deadline:
                raise
        else:
            if result is not None or time.monotonic() > deadline:
                return result
        time.sleep(0.5)


def prometheus(compose: Compose, query: str) -> float | None:
    """The value of an instant query that yields one sample; None when it yields none."""
    url = f"http://127.0.0.1:{compose.prometheus_port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=10) as reply:
        samples = json.load(reply)["data"]["result"]
    return float(samples[0]["value"][1]) if samples else None


def test_the_rules_are_read_and_nothing_is_written_beside_the_volume(compose: Compose) -> None:
    rules = eventually(lambda: prometheus(compose, "count(model_code:cellserve_requests:rate5m) >= 0"), urllib.error.URLError)
    assert rules is not None
    with pytest.raises(CommandFailed, match=r"[Rr]ead-only"):
        compose.exec("sh", "-c", "echo >/opt/cellserve/written")


def test_what_is_in_the_image_is_listed_in_it(compose: Compose) -> None:
    listed = json.loads(compose.exec("cat", "/usr/share/cellserve/sbom.cdx.json"))
    names = {one["name"] for one in listed["components"]}
    assert {"torch", "grpcio", "onnxruntime", "valkey", "obstore", "opentelemetry-sdk"} <= names


def test_it_does_not_run_as_root(compose: Compose) -> None:
    assert compose.exec("id", "-u").strip() == "10001"


def test_the_first_start_publishes_the_demos_model_and_keeps_what_it_measured(compose: Compose) -> None:
    (published,) = json.loads(compose.exec("cellserve", "models", "--json"))
    assert (published["model"], published["version"], published["aliases"]) == ("digits", 1, ["stable"])
    eventually(lambda: compose.exec("sh", "-c", "ls /models/.calibrations/*.json"), CommandFailed)


def test_administration_answers_inside(compose: Compose) -> None:
    assert "READY" in compose.exec("cellserve", "models", "--url", "localhost:8001")


def test_a_model_is_imported_from_the_folder_of_files(compose: Compose) -> None:
    assert compose.exec("cellserve", "import", "/files/digits.keras", "--alias", "canary").strip() == "digits/2"


def test_what_the_page_on_operating_has_typed_in_is_answered(compose: Compose) -> None:
    shown = [each for each in blocks(ROOT / "docs/operating.md") if each.remarks.get("run by") == "tests/e2e/test_containers.py"]
    typed = [words(command) for block in shown for command in commands(block)]
    assert typed
    for command in typed:
        assert command[:6] == ["docker", "compose", "-f", "deploy/compose.yaml", "exec", "server"]
        compose.exec(*command[6:])


def test_a_request_is_answered_and_scraped(compose: Compose) -> None:
    with np.load(ROOT / "deploy/demo/digits-heldout.npz") as heldout:
        inputs, expected = heldout["inputs"][:ROWS], heldout["outputs"][:ROWS]
    with Client(f"127.0.0.1:{compose.port}") as client:
        eventually(lambda: client.predict("digits", inputs[0]), ServiceError)  # the server notices the new version by itself
        answers = np.stack([client.predict("digits", row, implementation="2") for row in inputs])
    np.testing.assert_allclose(answers, expected, rtol=0, atol=TOLERANCE)

    counted = 'sum(cellserve_request_duration_seconds_count{model="digits", implementation="2"})'
    eventually(lambda: prometheus(compose, f"{counted} == {ROWS}"), urllib.error.URLError)
    assert prometheus(compose, counted) == ROWS
    assert prometheus(compose, 'up{job="cellserve"}') == 1


def test_it_stops_in_order(compose: Compose) -> None:
    assert compose.stop("server") == 0, compose.logs("server")


def test_the_slim_image_serves_in_every_way_and_is_much_smaller(compose: Compose) -> None:
    """Its build has a model computed in every implementation and served, or fails."""
    tool = Tool.find()
    slim, whole = tool.size_bytes(tool.build_image("slim")), tool.size_bytes(tool.build_image())
    assert slim <= 0.6 * whole, (slim, whole)
