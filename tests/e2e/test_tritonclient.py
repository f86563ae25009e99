"""NVIDIA's tritonclient, unmodified, in a process of its own against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.foreign import ForeignClient
from tests.e2e.models import BIDIRECTIONAL, IDS, STEPS
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
KERAS_TOLERANCE = {"rtol": 0, "atol": 1e-5}
STREAMED = 5000
Questions = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def python() -> Path:
    return interpreter("tritonclient")


@pytest.fixture
def infer(python: Path, server: Address, questions_file: Path) -> ForeignClient:
    return ForeignClient(python, "triton_infer.py", (server.url, str(questions_file)))


def outputs(answers: list[dict[str, Any]]) -> np.ndarray:
    """The single row of each answer, one below the other."""
    return np.array([answer["outputs"][0] for answer in answers])


def test_sync(infer: ForeignClient, questions: Questions) -> None:
    answers = infer.run("sync")
    np.testing.assert_allclose(outputs(answers), questions["outputs"][:20], **KERAS_TOLERANCE)
    assert [answer["id"] for answer in answers] == [f"row-{row}" for row in range(20)]
    assert {answer["version"] for answer in answers} == {"1"}


def test_lengths_in_one_batch(infer: ForeignClient, questions: Questions) -> None:
    answers = infer.run("lengths_in_one_batch")
    for model in (IDS, BIDIRECTIONAL, STEPS):
        expected = model.answer(questions[model.name], questions[f"{model.name}_lengths"])
        np.testing.assert_allclose(answers[model.name]["outputs"], expected, **TOLERANCE)
    np.testing.assert_allclose(answers["digits"]["outputs"], questions["cut_outputs"], **KERAS_TOLERANCE)


def test_forced_implementations(infer: ForeignClient, questions: Questions) -> None:
    answers = infer.run("forced_implementations")
    assert [answer["parameters"]["implementation"] for answer in answers] == ["0", "1", "2", "fused"]
    for answer in answers:
        np.testing.assert_allclose(answer["outputs"], questions["outputs"][:8], **KERAS_TOLERANCE)
        assert answer["parameters"]["compute_us"] > 0


def test_states_carried_by_the_client(infer: ForeignClient, questions: Questions) -> None:
    answer = infer.run("states")
    assert answer["states"] == ["state.0.h", "state.0.c", "state.1.h"]
    assert answer["metadata_inputs"] == ["inputs"]
    np.testing.assert_allclose(answer["outputs"], questions["outputs"][:1], **KERAS_TOLERANCE)


def test_callbacks(infer: ForeignClient, questions: Questions) -> None:
    answers = infer.run("by_callback")
    assert [answer["id"] for answer in answers] == [str(row) for row in range(400)]
    np.testing.assert_allclose(outputs(answers), questions["outputs"], **KERAS_TOLERANCE)


@pytest.mark.parametrize(
    ("wrong", "status", "reason"),
    [
        ("unknown model", "NOT_FOUND", "MODEL_UNKNOWN"),
        ("unknown version", "NOT_FOUND", "VERSION_UNKNOWN"),
        ("width", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("rank", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("datatype", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("nan", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("unknown input", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("unknown output", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("length", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("id", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("implementation", "INVALID_ARGUMENT", "IMPLEMENTATION_UNKNOWN"),
        ("classification", "UNIMPLEMENTED", "NOT_OFFERED"),
    ],
)
def test_errors(refusals: dict[str, Any], wrong: str, status: str, reason: str) -> None:
    assert refusals[wrong]["status"] == f"StatusCode.{status}"
    assert refusals[wrong]["message"].startswith(f"[{reason}] ")


@pytest.fixture(scope="module")
def refusals(python: Path, server: Address, questions_file: Path) -> dict[str, Any]:
    return ForeignClient(python, "triton_infer.py", (server.url, str(questions_file))).run("errors")


def test_a_good_request_follows_the_errors(refusals: dict[str, Any], questions: Questions) -> None:
    np.testing.assert_allclose(refusals["good"]["outputs"], questions["outputs"][:1], **KERAS_TOLERANCE)


def test_time_outs(infer: ForeignClient, questions: Questions) -> None:
    by_server, by_client, good = infer.run("time_outs")
    assert by_client["status"] == "StatusCode.DEADLINE_EXCEEDED"
    assert by_server["status"] == "StatusCode.DEADLINE_EXCEEDED"
    assert by_server["message"].startswith("[DEADLINE_EXPIRED] ")
    np.testing.assert_allclose(good["outputs"], questions["outputs"][:1], **KERAS_TOLERANCE)


@pytest.fixture
def stream(python: Path, server: Address, questions_file: Path) -> ForeignClient:
    return ForeignClient(python, "triton_stream.py", (server.url, str(questions_file)))


def test_thousands_on_one_stream(stream: ForeignClient, questions: Questions) -> None:
    answers = stream.run("many", str(STREAMED))
    assert len(answers) == STREAMED
    rows = np.arange(STREAMED) // 2
    expected = np.where(
        (np.arange(STREAMED) % 2 == 1)[:, np.newaxis], questions["cut_outputs"][rows % 200], questions["outputs"][rows % 400]
    )
    np.testing.assert_allclose([answers[str(number)] for number in range(STREAMED)], expected, **KERAS_TOLERANCE)


def test_errors_leave_the_stream_up(stream: ForeignClient, questions: Questions) -> None:
    replies = stream.run("errors_among_good")
    refused = [reply["error"] for reply in replies if "error" in reply]
    answered = {reply["id"]: reply["outputs"][0] for reply in replies if "error" not in reply}
    assert [error["message"].startswith("[INVALID_INPUT] 'inputs' has shape") for error in refused] == [True, True]
    assert sorted(answered) == ["0", "2", "4", "5"]
    for row in answered.values():
        np.testing.assert_allclose(row, questions["outputs"][0], **KERAS_TOLERANCE)


@pytest.fixture
def aio(python: Path, server: Address, questions_file: Path) -> ForeignClient:
    return ForeignClient(python, "triton_aio.py", (server.url, str(questions_file)))


def test_aio_many_in_flight(aio: ForeignClient, questions: Questions) -> None:
    outcome = aio.run("many")
    np.testing.assert_allclose(outputs(outcome["answers"]), questions["outputs"], **KERAS_TOLERANCE)
    assert [answer["id"] for answer in outcome["answers"]] == [str(row) for row in range(400)]
    assert outcome["refused"]["status"] == "StatusCode.INVALID_ARGUMENT"
    assert outcome["ready"]


def test_aio_stream(aio: ForeignClient, questions: Questions) -> None:
    answers = aio.run("stream")
    np.testing.assert_allclose([answers[str(row)] for row in range(400)], questions["outputs"], **KERAS_TOLERANCE)
