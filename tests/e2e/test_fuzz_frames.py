"""A hundred thousand connections of damaged frames at a real server: no crash, no hang, no growth, no neighbour disturbed.

FUZZ_CASES and FUZZ_SEED in the environment send another number, or others. What was sent is printed, and so is a failing seed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import grpc
import pytest

from deploy.demo.server import Server
from tests.e2e.metrics import scrape
from tests.e2e.models import STEPS, STEPS_WIDTH
from tests.e2e.processes import footprint
from tests.fuzz.driving import watched
from tests.fuzz.frame_calls import good_calls
from tests.fuzz.frame_cases import frame_cases
from tests.fuzz.frame_driving import FrameFuzz
from tests.fuzz.questions import questions

pytestmark = pytest.mark.e2e

CASES = int(os.environ.get("FUZZ_CASES", 100_000))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", 1000))
CASES_PER_SEED = 2_000
GROWTH_BYTES = 64 * 1024 * 1024  # the allocator's, between the first seed and the last


async def test_the_front_stays_calm(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls, log = good_calls(STEPS.name, STEPS_WIDTH), tmp_path / "server.log"
    started_seconds = time.monotonic()
    server = Server(repository, log, "--front", "http2")
    with server as address:
        host, _, port = address.url.rpartition(":")
        before = footprint(server.pid)
        async with grpc.aio.insecure_channel(address.url) as channel:
            fuzz = FrameFuzz(host, int(port))
            async with watched(questions(channel)) as witnesses:
                for seed in range(FIRST_SEED, FIRST_SEED + -(-CASES // CASES_PER_SEED)):
                    await fuzz.send(frame_cases(calls, CASES_PER_SEED, seed))
                    assert not fuzz.faults, f"seed {seed}:\n" + "\n".join(fuzz.faults[:5])
                    if seed == FIRST_SEED:
                        before = footprint(server.pid)  # what it takes to have seen all kinds once
            for ask in questions(channel):
                await ask()
        after = footprint(server.pid)
        series = scrape(address.metrics_url)
    seconds = time.monotonic() - started_seconds
    sent, answers = fuzz.answers.total(), sum(witness.answers for witness in witnesses)
    with capsys.disabled():
        print(
            f"\n{sent} cases from seed {FIRST_SEED} on in {seconds:.0f} s ({sent / seconds:.0f}/s), {answers} good answers beside"
        )
        print(", ".join(f"{kind} {count}" for kind, count in fuzz.answers.most_common()))
        print(f"{before} before, {after} after")
        print("\n".join(line for line in series.splitlines() if line.startswith("cellserve_connections")))
    assert sent >= CASES
    assert all(witness.answers > 0 for witness in witnesses)
    assert "Traceback" not in log.read_text()
    assert after.resident_bytes - before.resident_bytes < GROWTH_BYTES
    assert after.descriptors <= before.descriptors + 5
