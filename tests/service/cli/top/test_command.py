"""`cellserve top` as a user types it, against the metrics page of a real server's books."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.metrics.page import MetricsPage
from tests.service.overview.told import Told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def page(told: Told) -> Iterator[MetricsPage]:
    page = told.metrics.open_page("127.0.0.1", 0)
    page.ready = True
    yield page
    page.close()


@pytest.fixture
def url(page: MetricsPage) -> str:
    return f"127.0.0.1:{page.port}"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("top", *arguments), env={"COLUMNS": "200", "TERM": "dumb"})


def sleeping(monkeypatch: pytest.MonkeyPatch, *meanwhile: Callable[[], None]) -> list[float]:
    """Instead of sleeping these are done, one each time; then somebody presses Ctrl-C."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > len(meanwhile):
            raise KeyboardInterrupt
        meanwhile[len(slept) - 1]()

    monkeypatch.setattr(time, "sleep", sleep)
    return slept


def test_scripts_get_the_whole_overview_of_one_time(told: Told, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told.answer(50)
    slept = sleeping(monkeypatch, lambda: told.answer(7))
    result = run("--url", url, "--json", "--every", "3")
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)
    assert slept == [3.0]
    assert seen["readiness"] == "ready"
    (only,) = seen["runs"]
    assert only["implementation"] == "fused"
    assert only["answered_per_second"] * seen["seconds"] == pytest.approx(7)
    assert {"traffic", "versions", "live_sequences", "refusals", "process"} <= set(seen)


def test_once_prints_the_tables(told: Told, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping(monkeypatch, lambda: told.answer(7))
    shown = run("--url", f"http://{url}/metrics", "--once").stdout
    for words in ("Latency by implementation", "fused", "Versions and their queues", "stable, standing in", "Refusals: None"):
        assert words in shown


def test_it_looks_again_until_it_is_stopped_and_waits_for_a_server_that_is_away(
    told: Told, page: MetricsPage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[MetricsPage] = []
    slept = sleeping(
        monkeypatch,
        lambda: told.answer(1),
        page.close,
        lambda: again.append(told.metrics.open_page("127.0.0.1", page.port)),
        lambda: told.answer(1, "packed"),
    )
    result = run("--url", url)
    again[0].close()
    assert (result.exit_code, slept) == (0, [2.0] * 5)
    first, lost = result.stdout.index("fused"), result.stdout.index("no answer from")
    assert first < lost < result.stdout.index("packed")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("127.0.0.1:{free}", "no answer from http://127.0.0.1:{free}/metrics"), ("ftp://x", "is not the address of a page")],
)
def test_where_nobody_answers_one_sentence_says_so(given: str, sentence: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        free = str(taken.getsockname()[1])
    result = run("--url", given.replace("{free}", free), "--once")
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence.replace("{free}", free) in result.stderr


def test_what_is_no_page_of_metrics_is_told(page: MetricsPage, url: str) -> None:
    result = run("--url", f"{url}/elsewhere", "--once")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is this the server's metrics port?" in result.stderr
