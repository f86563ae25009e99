"""A few hundred strange requests at a whole server: no crash, no hang, no wrong status, no neighbour disturbed.

`make e2e` sends a hundred thousand. A failure prints the seed and the bytes.
"""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from cellserve.models.weights import Weights
from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.pb import cellserve_pb2 as typed
from cellserve.service.pb import open_inference_pb2 as pb
from cellserve.service.registry.repository.repository import Repository
from tests.e2e.models import RANDOM_MODELS
from tests.fuzz.cases import FEED, GET, INFER, PERMITTED, STREAMS, Case, Outcome, fault
from tests.fuzz.driving import Fuzz, watched
from tests.fuzz.questions import questions
from tests.fuzz.strategies import generate
from tests.fuzz.targets import Target

SEED = 1
CASES = 300


async def test_the_door_stays_calm(tmp_path: Path) -> None:
    for model in RANDOM_MODELS:
        model.publish(Repository(tmp_path))
    cases = generate([Target.of(model.name, model.spec, Weights.of(model.arrays).digest) for model in RANDOM_MODELS], CASES, SEED)
    settings = Settings(repository=tmp_path, host="127.0.0.1", port=0, metrics_port=0)
    async with serving(settings) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        fuzz, asks = Fuzz(channel), questions(channel)
        async with watched(asks) as witnesses:
            await fuzz.send(cases)
        for ask in asks:
            await ask()
        assert not fuzz.faults, f"seed {SEED}:\n" + "\n".join(fuzz.faults[:5])
        assert fuzz.codes.total() >= CASES
        assert fuzz.codes["OK"] > 0 < fuzz.codes["INVALID_ARGUMENT"]
        assert all(witness.answers > 0 for witness in witnesses)
        assert not running.died.done()


def test_the_same_seed_makes_the_same_cases() -> None:
    target = Target("m", 3, None, {"0.h": 4})
    assert generate([target], 20, 5) == generate([target], 20, 5) != generate([target], 20, 6)


@pytest.mark.parametrize(
    ("code", "details", "wrong"),
    [
        ("UNKNOWN", "x", "ended with UNKNOWN"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "begins with no reason"),
        ("INVALID_ARGUMENT", "[MODEL_UNKNOWN] there is none", "does not belong"),
        ("INVALID_ARGUMENT", "[INVALID_INPUT] <class 'float'>", "shows '<class '"),
    ],
)
def test_the_judge_sees_wrong_refusals(code: str, details: str, wrong: str) -> None:
    told = fault(Case(STREAMS[0], (b"",), (), PERMITTED), Outcome(code, details))
    assert told is not None
    assert wrong in told


def test_the_judge_sees_wrong_answers() -> None:
    refused = Case(INFER, (b"",), (), frozenset(("INVALID_ARGUMENT",)))
    assert fault(refused, Outcome("OK", "", (b"",))) is not None
    assert fault(Case(INFER, (b"\x1a\x01a",), ()), Outcome("OK", "", (b"",))) == "the id 'a' came back as ''"
    assert fault(Case(INFER, (b"",), ()), Outcome("OK", "", (b"",))) is None


@pytest.mark.parametrize("message", ["[INTERNAL] the server failed", "no reason", "[INVALID_INPUT] numpy.float32"])
def test_the_judge_reads_errors_on_streams(message: str) -> None:
    reply = pb.ModelStreamInferResponse(error_message=message).SerializeToString()
    assert fault(Case(STREAMS[0], (b"",), ()), Outcome("OK", "", (reply,))) is not None
    reply = pb.ModelStreamInferResponse(error_message="[INVALID_INPUT] no inputs").SerializeToString()
    assert fault(Case(STREAMS[0], (b"",), ()), Outcome("OK", "", (reply,))) is None


def test_the_judge_knows_where_a_sequence_stands() -> None:
    fed = Case(FEED, (b"",), (), position=3)
    assert fault(fed, Outcome("OK", "", (typed.FeedReply(position=3).SerializeToString(),))) is None
    wrong = fault(fed, Outcome("OK", "", (typed.FeedReply(position=4).SerializeToString(),)))
    assert wrong == "the sequence stands at 4, expected 3"
    assert fault(Case(GET, (b"",), (), position=3), Outcome("OK", "", (typed.SequenceInfo(position=2).SerializeToString(),)))


def test_the_judge_holds_each_answer_on_a_typed_stream_to_its_request() -> None:
    case = Case(STREAMS[1], (b"", b""), (), answers=(frozenset(("OK",)), frozenset(("NOT_FOUND",))))
    opened = typed.StreamReply(id="0", open=typed.OpenReply()).SerializeToString()
    unknown = typed.Error(code=5, reason="SEQUENCE_UNKNOWN", message="it is not live")
    refused = typed.StreamReply(id="1", error=unknown).SerializeToString()
    assert fault(case, Outcome("OK", "", (refused, opened))) is None
    assert fault(case, Outcome("OK", "", (opened,))) == "1 replies to 2 requests"
    assert "expected OK" in (
        fault(case, Outcome("OK", "", (opened, typed.StreamReply(id="0", error=unknown).SerializeToString()))) or ""
    )
