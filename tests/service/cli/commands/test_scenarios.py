"""`cellserve load` with scenarios, searches, sweeps and pages, and `cellserve report`, against a scripted server on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.client.tensors import to_wire
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import FakeSequences, Refusal, serving

SCENARIO = """
name: evening <b>
duration_seconds: 0.3
traffic:
  - {name: short, model: m, features: 2, samples: 3, lengths: "uniform:1:9", arrivals: {kind: steady, rate_per_second: 100}}
  - {name: crowd, model: m, features: 2, samples: 3, lengths: "fixed:40", arrivals: {kind: callers, callers: 2}}
"""


@pytest.fixture
def fake() -> FakeSequences:
    return FakeSequences(returns_sequences=False)


@pytest.fixture
def url(fake: FakeSequences) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "evening.yaml"
    path.write_text(SCENARIO)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", "TERM": "dumb"})


def recorded(*arguments: object) -> dict[str, object]:
    result = run("load", *arguments, "--json")
    assert result.exit_code == 0, result.output
    data: dict[str, object] = json.loads(result.stdout)
    return data


@pytest.mark.parametrize("processes", [1, 2])
def test_every_kind_of_traffic_is_sent_and_checked(url: str, scenario: Path, processes: int) -> None:
    data = recorded("--scenario", scenario, "--url", url, "--processes", processes)
    (only,) = data["runs"]  # type: ignore[misc]
    assert only["traffic"]["short"]["right"] == 30  # type: ignore[index]
    assert only["traffic"]["crowd"]["right"] >= 2  # type: ignore[index]
    assert len(only["generator"]) == processes  # type: ignore[index]


def test_a_wrong_answer_ends_badly(fake: FakeSequences, url: str, scenario: Path) -> None:
    fake.script = [
        pb.RunReply(model="m", version="7", lengths=[3], outputs=[pb.Output(name="outputs", tensor=to_wire(np.zeros((1, 2))))])
    ]  # it is learned; the others differ from it
    result = run("load", "--scenario", scenario, "--url", url)
    assert result.exit_code == 1
    assert ", 0 wrong" not in result.stdout


def test_refusals_stand_in_the_time_line(fake: FakeSequences, url: str, tmp_path: Path) -> None:
    fake.script = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full")] * 2
    page, arguments = tmp_path / "page.html", ("m", "--features", 2, "--no-check", "--rate", 100, "--duration-seconds", 0.3)
    result = run("load", *arguments, "--url", url, "--html", page)
    assert result.exit_code == 1
    assert "2 refused or failed" in result.stdout
    assert "2 OVERLOADED" in page.read_text()


def test_a_search_tells_rate_and_target(url: str) -> None:
    arguments = ("m", "--features", 2, "--lengths", "fixed:3", "--rate", 400, "--duration-seconds", 0.3, "--url", url)
    result = run("load", *arguments, "--find-rate", "p50<1us", "--json")
    data = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [found["rate_per_second"] for found in data["found"]] == [None]
    assert {each["met"] for each in data["runs"]} == {False}
    assert min(each["summary"]["requests"] for each in data["runs"]) >= 5


def test_a_sweep_runs_each_implementation_and_the_page_shows_them(fake: FakeSequences, url: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ("m", "--features", 2, "--rate", 100, "--duration-seconds", 0.2, "--url", url, "--sweep", "0,packed")
    data = recorded(*arguments, "--html", page)
    assert [each["label"] for each in data["runs"]] == ["0", "packed"]  # type: ignore[attr-defined]
    assert {request.implementation for request in fake.requests} == {"0", "packed"}
    assert "packed · " in page.read_text()


def test_two_records_are_compared_on_one_page(url: str, scenario: Path, tmp_path: Path) -> None:
    for name in ("before", "now"):
        (tmp_path / f"{name}.json").write_text(json.dumps(recorded("--scenario", scenario, "--url", url)))
    page = tmp_path / "page.html"
    result = run("report", tmp_path / "before.json", tmp_path / "now.json", "--html", page)
    assert result.exit_code == 0, result.output
    html = page.read_text()
    assert "before → now" in html
    assert "<b>evening" not in html
    assert "evening &lt;b&gt;" in html
    assert "<script" not in html
    assert "http" not in html


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--find-rate", "soon"), "no target of latency"),
        (("--find-rate", "p99<1s", "--concurrency", 2), "callers only"),
        (("--sweep", "packed,,0"), "has no name"),
        (("--html", "page.html", "--requests", 5), "--requests"),
        (("--scenario", "SCENARIO"), "not both"),
    ],
)
def test_what_makes_no_test_is_refused(url: str, scenario: Path, arguments: tuple[object, ...], told: str) -> None:
    given = [scenario if each == "SCENARIO" else each for each in arguments]
    result = run("load", "m", "--features", 2, "--url", url, *given)
    assert result.exit_code != 0
    assert told in " ".join(result.output.replace("│", "").split())


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    result = run("report", tmp_path / "x.json", "--html", tmp_path / "page.html")
    assert result.exit_code != 0
    assert "no record of a scenario" in result.stderr
