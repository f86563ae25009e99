"""NVIDIA's tritonclient, unmodified, with live sequences: in calls, by callbacks, many interleaved on one stream."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.demo.server import Address
from tests.e2e.foreign import ForeignClient
from tests.e2e.models import IDS, STEPS
from tests.e2e.venvs import interpreter

pytestmark = pytest.mark.e2e

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
PIECES = (1, 2, 1, 4, 3, 1)  # as the client cuts a row
Questions = dict[str, np.ndarray]
Replies = list[dict[str, Any]]


@pytest.fixture(scope="module")
def client(server: Address, questions_file: Path) -> ForeignClient:
    return ForeignClient(interpreter("tritonclient"), "triton_sequences.py", (server.url, str(questions_file)))


def require_each_answers_what_was_fed(replies: Replies, row: np.ndarray) -> None:
    """Reply by reply the oracle's outputs for the steps of that piece, and how many steps have been consumed."""
    expected = STEPS.answer(row[np.newaxis])[0]
    ends = list(accumulate(PIECES))
    assert [reply["parameters"]["position"] for reply in replies] == ends
    for reply, steps, end in zip(replies, PIECES, ends):
        np.testing.assert_allclose(reply["outputs"][0], expected[end - steps : end], **TOLERANCE)
    assert len({reply["parameters"]["epoch"] for reply in replies}) == 1


def require_every_row_answered(told: list[Replies], questions: Questions) -> None:
    assert len(told) == len(questions["live"])
    for replies, row in zip(told, questions["live"]):
        require_each_answers_what_was_fed(replies, row)


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_calls(client: ForeignClient, questions: Questions, kind: str) -> None:
    told = client.run("by_calls", kind)
    require_every_row_answered(told, questions)
    names = [{reply["parameters"]["sequence_id"] for reply in replies} for replies in told]
    assert names == [{number if kind == "int64" else f"user/{number} ü"} for number in range(7, 7 + len(told))]


def test_callbacks(client: ForeignClient, questions: Questions) -> None:
    require_every_row_answered(client.run("by_callbacks"), questions)


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_many_interleaved_on_one_stream(client: ForeignClient, questions: Questions, kind: str) -> None:
    require_every_row_answered(client.run("on_one_stream", kind), questions)


def test_many_interleaved_on_one_aio_stream(client: ForeignClient, questions: Questions) -> None:
    require_every_row_answered(client.run("on_one_aio_stream"), questions)


def test_a_model_of_one_vector_answers_for_the_prefix(client: ForeignClient, questions: Questions) -> None:
    row = questions["words"][:1]
    for end, reply in enumerate(client.run("ids_of_words"), 1):
        np.testing.assert_allclose(reply["outputs"], IDS.answer(row[:, :end]), **TOLERANCE)


def test_a_start_on_a_live_id_begins_anew(client: ForeignClient, questions: Questions) -> None:
    require_each_answers_what_was_fed(client.run("started_twice"), questions["live"][1])


def test_requests_with_a_position_are_applied_once(client: ForeignClient, questions: Questions) -> None:
    require_each_answers_what_was_fed(client.run("applied_once"), questions["live"][0])


def test_a_start_without_an_id_is_given_one(client: ForeignClient, questions: Questions) -> None:
    told = client.run("named_by_the_server")
    for replies in told.values():
        require_each_answers_what_was_fed(replies, questions["live"][0])
    ids = {kind: {reply["parameters"]["sequence_id"] for reply in replies} for kind, replies in told.items()}
    assert [(kind, type(name)) for kind, names in ids.items() for name in names] == [("int64_param", int), ("string_param", str)]


@pytest.fixture(scope="module")
def refusals(client: ForeignClient) -> dict[str, Any]:
    told: dict[str, Any] = client.run("errors")
    return told


@pytest.mark.parametrize(
    ("wrong", "status", "reason"),
    [
        ("unknown", "NOT_FOUND", "SEQUENCE_UNKNOWN"),
        ("unknown by text", "NOT_FOUND", "SEQUENCE_UNKNOWN"),
        ("unknown at its end", "NOT_FOUND", "SEQUENCE_UNKNOWN"),
        ("after its end", "NOT_FOUND", "SEQUENCE_UNKNOWN"),
        ("of another model", "NOT_FOUND", "SEQUENCE_UNKNOWN"),
        ("of no life known", "NOT_FOUND", "SEQUENCE_LOST"),
        ("at another position", "FAILED_PRECONDITION", "SEQUENCE_POSITION"),
        ("in two rows", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("nan", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("with a state", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("named at length", "INVALID_ARGUMENT", "INVALID_INPUT"),
        ("looking ahead", "FAILED_PRECONDITION", "NOT_CAUSAL"),
    ],
)
def test_errors(refusals: dict[str, Any], wrong: str, status: str, reason: str) -> None:
    assert refusals[wrong]["status"] == f"StatusCode.{status}"
    assert refusals[wrong]["message"].startswith(f"[{reason}] ")
    assert refusals[wrong]["streamed"].startswith(f"[{reason}] ")


def test_the_errors_left_the_sequence_as_it_was(refusals: dict[str, Any], questions: Questions) -> None:
    expected = STEPS.answer(questions["live"][:1, :2])[0, 1:]
    np.testing.assert_allclose(refusals["good"]["outputs"][0], expected, **TOLERANCE)
    assert refusals["good"]["parameters"]["position"] == 2
