"""A hundred thousand strange requests at a real server: no crash, no hang, no wrong status, no neighbour disturbed.

FUZZ_CASES and FUZZ_SEED in the environment send another number, or others. What was sent is printed, and so is a failing seed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import grpc
import pytest

from cellserve.models.weights import Weights
from deploy.demo.server import Server
from tests.e2e.metrics import scrape
from tests.e2e.models import RANDOM_MODELS
from tests.fuzz.cases import Case, Story
from tests.fuzz.driving import Fuzz, watched
from tests.fuzz.questions import questions
from tests.fuzz.strategies import generate
from tests.fuzz.targets import Target

pytestmark = pytest.mark.e2e

CASES = int(os.environ.get("FUZZ_CASES", 100_000))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", 1000))
CASES_PER_SEED = 2_000


async def test_the_door_stays_calm(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + -(-CASES // CASES_PER_SEED))
    log = tmp_path / "server.log"
    started_seconds = time.monotonic()
    with Server(repository, log) as address:
        async with grpc.aio.insecure_channel(address.url) as channel:
            fuzz = Fuzz(channel)
            async with watched(questions(channel)) as witnesses:
                async for seed, cases in generated(seeds):
                    await fuzz.send(cases)
                    assert not fuzz.faults, f"seed {seed}:\n" + "\n".join(fuzz.faults[:5])
            for ask in questions(channel):
                await ask()
        series = scrape(address.metrics_url)
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


async def generated(seeds: range) -> AsyncIterator[tuple[int, list[Case | Story]]]:
    """The cases of each seed, made in a process of its own while those of the one before are sent."""
    targets = [Target.of(model.name, model.spec, Weights.of(model.arrays).digest) for model in RANDOM_MODELS]
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # not forked: gRPC has threads
        coming = [loop.run_in_executor(pool, generate, targets, CASES_PER_SEED, seed) for seed in seeds[:1]]
        for seed in seeds:
            cases = await coming.pop()
            if seed != seeds[-1]:
                coming.append(loop.run_in_executor(pool, generate, targets, CASES_PER_SEED, seed + 1))
            yield seed, cases
