"""A few hundred connections of damaged frames at a whole server: no crash, no hang, no wrong answer to the neighbours.

`make e2e` sends a hundred thousand. A failure prints the seed and the bytes.
"""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from cellserve.service.app import serving
from cellserve.service.config import Settings
from cellserve.service.registry.repository.repository import Repository
from tests.e2e.models import RANDOM_MODELS, STEPS, STEPS_WIDTH
from tests.fuzz.driving import watched
from tests.fuzz.frame_calls import good_calls
from tests.fuzz.frame_cases import frame_cases
from tests.fuzz.frame_driving import FrameFuzz
from tests.fuzz.questions import questions

SEED = 1
CASES = 400
CALLS = good_calls(STEPS.name, STEPS_WIDTH)


async def test_the_front_stays_calm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for model in RANDOM_MODELS:
        model.publish(Repository(tmp_path))
    settings = Settings(repository=tmp_path, host="127.0.0.1", port=0, metrics_port=0, front="http2")
    async with serving(settings) as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
        fuzz, asks = FrameFuzz("127.0.0.1", running.port, patience_seconds=0.3), questions(channel)
        async with watched(asks) as witnesses:
            await fuzz.send(frame_cases(CALLS, CASES, SEED))
        for ask in asks:
            await ask()
        assert not fuzz.faults, f"seed {SEED}:\n" + "\n".join(fuzz.faults[:5])
        assert fuzz.answers.total() == CASES
        assert fuzz.answers["data"] > 0 < fuzz.answers["goodbye"]
        assert all(witness.answers > 0 for witness in witnesses)
        assert not running.died.done()
    assert not [record for record in caplog.records if record.exc_info]


def test_the_same_seed_makes_the_same_cases() -> None:
    assert frame_cases(CALLS, 30, 5) == frame_cases(CALLS, 30, 5) != frame_cases(CALLS, 30, 6)
