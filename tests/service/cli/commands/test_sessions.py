"""`cellserve sessions` as a user types it, against a scripted server on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import FakeSequences, Refusal, serving

INFO = pb.SequenceInfo
LIVE = [
    INFO(
        model="digits", sequence_id="a", version=3, position=12345, age_seconds=8000, idle_seconds=4, bytes=512, state=INFO.IDLE
    ),
    INFO(model="digits", sequence_id="b[/]", version=3, position=7, age_seconds=90, idle_seconds=0, bytes=512, state=INFO.ACTIVE),
    INFO(model="speech", sequence_id="42", version=1, position=1, age_seconds=3e5, idle_seconds=9e4, bytes=64, state=INFO.PARKED),
]


@dataclass
class FakeLiveSequences(FakeSequences):
    live: list[pb.SequenceInfo] = field(default_factory=lambda: list(LIVE))

    def List(self, request: pb.ListSequencesRequest, context: grpc.ServicerContext) -> pb.ListSequencesReply:
        if self.script:
            self.script.pop(0).abort(context)
        wanted = [each for each in self.live if request.model in ("", each.model)]
        return pb.ListSequencesReply(sequences=wanted)


@pytest.fixture
def fake() -> FakeLiveSequences:
    return FakeLiveSequences()


@pytest.fixture
def url(fake: FakeLiveSequences) -> Iterator[str]:
    with serving(fake) as address:
        yield address


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("sessions", *arguments), env={"COLUMNS": "200", "TERM": "dumb"})


def test_a_table_lists_those_used_last_first(url: str) -> None:
    result = run("--url", url)
    assert result.exit_code == 0, result.output
    assert "3 live sequences" in result.stdout
    lines = [line for line in result.stdout.splitlines() if "digits" in line or "speech" in line]
    assert [line.split()[3] for line in lines] == ["b[/]", "a", "42"]
    for piece in ("12,345", "2 h 13 min", "4.0 s", "512", "idle"):
        assert piece in lines[1]
    assert "parked" in lines[2]


def test_one_model_and_a_limit(url: str) -> None:
    shown = run("--url", url, "--model", "digits", "--limit", "1").stdout
    assert "2 live sequences" in shown
    assert "the 1 used last" in shown
    assert "b[/]" in shown
    assert "12,345" not in shown
    assert "speech" not in shown


def test_scripts_get_every_field_of_all(url: str) -> None:
    listed = json.loads(run("--url", url, "--limit", "1", "--json").stdout)
    assert [each["id"] for each in listed] == ["a", "b[/]", "42"]
    assert listed[0] == {
        "model": "digits",
        "id": "a",
        "version": 3,
        "position": 12345,
        "epoch": "",
        "age_seconds": 8000.0,
        "idle_seconds": 4.0,
        "bytes": 512,
        "state": "idle",
        "replica": "",
    }


def test_where_servers_share_a_store_the_one_that_worked_with_it_last_is_shown(fake: FakeLiveSequences, url: str) -> None:
    assert "last on" not in run("--url", url).stdout
    fake.live[0].replica = "west-3:8001"
    shown = run("--url", url).stdout
    assert "last on" in shown
    assert "west-3:8001" in shown


def test_nothing_is_a_remark_for_people_and_an_empty_list_for_scripts(fake: FakeLiveSequences, url: str) -> None:
    fake.live = []
    result = run("--url", url)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no live sequences" in result.stderr
    assert json.loads(run("--url", url, "--json").stdout) == []


def test_watching_asks_again_until_it_is_stopped(fake: FakeLiveSequences, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        fake.live.pop()
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = run("--url", url, "--watch", "2.5")
    assert (result.exit_code, waits) == (0, [2.5] * 3)
    assert [number for number in (1, 2, 3) if f"{number} live sequences" in result.stdout] == [1, 2, 3]


def test_a_refusal_is_one_sentence(fake: FakeLiveSequences, url: str) -> None:
    fake.script = [Refusal(grpc.StatusCode.PERMISSION_DENIED, "ADMINISTRATION_DENIED", "only over loopback")]
    result = run("--url", url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "only over loopback" in result.stderr
    assert run("--url", "http://nonsense").exit_code == 2
    assert run("--url", url, "--json", "--watch", "1").exit_code == 2
