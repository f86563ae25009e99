"""`cellserve load` as a user types it, against a scripted server on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cellserve.service.cli.main import app
from cellserve.service.client.registry import InputTensor
from cellserve.service.client.tensors import to_wire
from cellserve.service.errors import InvalidInput
from cellserve.service.loadgen.inputs import Inputs
from cellserve.service.pb import cellserve_pb2 as pb
from tests.service.client.fake_sequences import FakeSequences, Refusal, serving


@pytest.fixture
def fake() -> FakeSequences:
    return FakeSequences(returns_sequences=False)


@pytest.fixture
def url(fake: FakeSequences) -> Iterator[str]:
    with serving(fake) as address:
        yield address


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ("load", *arguments), env={"COLUMNS": "200", "TERM": "dumb"})


SHORT = ("m", "--features", "2", "--lengths", "uniform:1:30", "--samples", "5")


@pytest.mark.parametrize("ends", [("--rate", "500", "--requests", "40"), ("--concurrency", "3", "--requests", "40")])
def test_a_clean_test_says_so_and_ends_well(fake: FakeSequences, url: str, ends: tuple[str, ...]) -> None:
    result = run(*SHORT, "--url", url, *ends, "--implementation", "2")
    assert result.exit_code == 0, result.output
    assert "40 right, 0 wrong, 0 unchecked; errors: 0" in result.output
    assert "answered by m/7 2: 40" in result.output
    assert len(fake.requests) == 45
    assert {request.implementation for request in fake.requests} == {"2"}


def test_a_wrong_answer_ends_badly(fake: FakeSequences, url: str) -> None:
    wrong = pb.RunReply(
        model="m", version="7", lengths=[3], outputs=[pb.Output(name="outputs", tensor=to_wire(np.zeros((1, 2))))]
    )
    fake.script = [wrong]  # it is learned; the others differ from it
    result = run("m", "--features", "2", "--lengths", "fixed:3", "--samples", "1", "--requests", "4", "--url", url)
    assert result.exit_code == 1
    assert "0 right, 4 wrong" in result.output


def test_refusals_are_counted_by_reason_and_not_retried(fake: FakeSequences, url: str) -> None:
    fake.script = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full")] * 2
    result = run(*SHORT, "--url", url, "--requests", "6", "--no-check")
    assert result.exit_code == 1
    assert "errors: 2 (2 OVERLOADED)" in result.output
    assert len(fake.requests) == 6


def test_a_server_that_refuses_even_one_at_a_time_ends_the_test(fake: FakeSequences, url: str) -> None:
    fake.script = [Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full")]
    result = run(*SHORT, "--url", url)
    assert result.exit_code == 1
    assert result.stderr.strip() == "error: full"


def test_scripts_get_one_object(url: str) -> None:
    result = run(*SHORT, "--url", url, "--requests", "6", "--json")
    data = json.loads(result.stdout)
    assert data["clean"] is True
    assert data["summary"]["right"] == 6
    assert data["summary"]["latencies"][0]["lengths"] == "all"


def test_real_inputs_are_checked_against_their_outputs(fake: FakeSequences, url: str, tmp_path: Path) -> None:
    inputs = np.arange(60, dtype=np.float32).reshape(3, 10, 2)
    lengths = np.array([10, 4, 1])
    outputs = np.stack([row[:cut].sum(axis=0) for row, cut in zip(inputs, lengths, strict=True)])
    np.savez(tmp_path / "real.npz", inputs=inputs, lengths=lengths, outputs=outputs)
    arguments = ("m", "--input", str(tmp_path / "real.npz"), "--url", url, "--requests", "12")
    result = run(*arguments)
    assert "12 right, 0 wrong" in result.output
    assert len(fake.requests) == 12
    np.savez(tmp_path / "real.npz", inputs=inputs, lengths=lengths, outputs=outputs + 1)
    assert "0 right, 12 wrong" in run(*arguments).output
    unchecked = run(*arguments, "--no-check")
    assert "0 wrong, 12 unchecked" in unchecked.output


def test_the_model_may_be_an_option_too(url: str) -> None:
    result = run("--model", "m", *SHORT[1:], "--url", url, "--requests", "5")
    assert result.exit_code == 0, result.output


def taking(*inputs: InputTensor) -> Inputs:
    return Inputs("mix").of_model("m", inputs)


def test_random_inputs_are_what_the_model_takes() -> None:
    assert taking(InputTensor("inputs", "features", 3, None, None)).samples(0)[0].x.shape[1:] == (3,)
    fixed = taking(InputTensor("inputs", "features", 3, None, 7)).samples(0)
    assert {sample.x.shape for sample in fixed} == {(7, 3)}
    ids = taking(InputTensor("inputs", "ids", None, 9, None)).samples(0)
    assert all(sample.x.ndim == 1 and sample.x.max() < 9 for sample in ids)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([InputTensor("inputs", "ids", None, None, None)], "give --vocabulary N"),
        ([InputTensor("inputs", "vector", 3, None, None)], "m takes inputs \\(vector\\)"),
        ([InputTensor(name, "features", 3, None, None) for name in ("inputs", "inputs_1")], "m takes inputs .*, inputs_1"),
    ],
)
def test_inputs_that_cannot_be_drawn_are_told(inputs: list[InputTensor], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        taking(*inputs)


def test_ids_are_drawn_below_the_vocabulary(fake: FakeSequences, url: str) -> None:
    result = run("m", "--vocabulary", "9", "--lengths", "fixed:4", "--url", url, "--requests", "5")
    assert result.exit_code == 0, result.output
    assert {request.inputs.dtype for request in fake.requests} <= {pb.INT32, pb.INT64}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--features", "2"), "which model"),
        (("m", "--model", "m", "--features", "2"), "which model"),
        (("m", "--features", "2", "--vocabulary", "3"), "what to ask"),
        ((*SHORT, "--rate", "5", "--concurrency", "2"), "not both"),
        (("m", "--features", "2", "--lengths", "long"), "lognormal:MEDIAN:MIN:MAX"),
        (("m", "--input", "nowhere.npz"), "nowhere.npz cannot be read"),
        ((*SHORT, "--url", "http://localhost"), "grpcs://host:port was expected"),
    ],
)
def test_what_makes_no_test_is_said_at_once(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output
