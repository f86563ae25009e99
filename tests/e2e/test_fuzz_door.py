"""A hundred thousand strange requests at a real server: no crash, no hang, no wrong status, no neighbour disturbed.

FUZZ_CASES and FUZZ_SEED in the environment send another number, or others. What was sent is printed, and so is a failing seed.
"""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from pathlib import Path

import grpc
import pytest

from deploy.demo.server import Server
from tests.e2e.models import RANDOM_MODELS
from tests.fuzz.driving import Fuzz, watched
from tests.fuzz.questions import questions
from tests.fuzz.strategies import generate
from tests.fuzz.targets import Target

pytestmark = pytest.mark.e2e

CASES = int(os.environ.get("FUZZ_CASES", 100_000))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", 1000))
CASES_PER_SEED = 2_000


async def test_the_door_stays_calm(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [Target.of(model.name, model.spec) for model in RANDOM_MODELS]
    log = tmp_path / "server.log"
    started_seconds = time.monotonic()
    with Server(repository, log) as address:
        async with grpc.aio.insecure_channel(address.url) as channel:
            fuzz = Fuzz(channel)
            async with watched(questions(channel)) as witnesses:
                for seed in range(FIRST_SEED, FIRST_SEED + -(-CASES // CASES_PER_SEED)):
                    await fuzz.send(await asyncio.to_thread(generate, targets, CASES_PER_SEED, seed))
                    assert not fuzz.faults, f"seed {seed}:\n" + "\n".join(fuzz.faults[:5])
            for ask in questions(channel):
                await ask()
        with urllib.request.urlopen(address.metrics_url) as page:
            series = page.read().decode()
    seconds = time.monotonic() - started_seconds
    sent, answers = fuzz.codes.total(), sum(witness.answers for witness in witnesses)
    with capsys.disabled():
        print(
            f"\n{sent} cases from seed {FIRST_SEED} on in {seconds:.0f} s ({sent / seconds:.0f}/s), {answers} good answers beside"
        )
        print(", ".join(f"{code} {count}" for code, count in fuzz.codes.most_common()))
    assert sent >= CASES
    assert all(witness.answers > 0 for witness in witnesses)
    assert 'grpc_code="InvalidArgument"' in series
    assert not any(f'grpc_code="{code}"' in series for code in ("Internal", "Unknown", "Unavailable"))
    assert "Traceback" not in log.read_text()
