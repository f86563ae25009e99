"""A million random operations on live sequences against a model of what must hold; one in fifty on a real network.

SESSION_OPERATIONS and SESSION_SEED in the environment do another number, or others. A failure tells its seed and the operation.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.service.sessions.driving import MET, drive
from tests.service.sessions.oracles import NetworkWorld, SumWorld

pytestmark = pytest.mark.e2e

OPERATIONS = int(os.environ.get("SESSION_OPERATIONS", 1_000_000))
FIRST_SEED = int(os.environ.get("SESSION_SEED", 1000))
OPERATIONS_PER_SEED = 5_000
SEEDS_PER_NETWORK = 50


def driven(folder: Path, seed: int) -> Counter[str]:
    """In a process of its own."""
    world = NetworkWorld() if seed % SEEDS_PER_NETWORK == 0 else SumWorld()
    return asyncio.run(drive(folder / str(seed), world, seed, OPERATIONS_PER_SEED))


def test_sequences_are_what_was_fed_to_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + -(-OPERATIONS // OPERATIONS_PER_SEED))
    met: Counter[str] = Counter()
    started_seconds = time.monotonic()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for counts in pool.map(driven, [tmp_path] * len(seeds), seeds):
                met += counts
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    seconds = time.monotonic() - started_seconds
    done = len(seeds) * OPERATIONS_PER_SEED
    with capsys.disabled():
        print(f"\n{done} operations from seed {FIRST_SEED} on in {seconds:.0f} s ({done / seconds:.0f}/s)")
        print(", ".join(f"{name} {count}" for name, count in met.most_common()))
    assert done >= OPERATIONS
    assert set(met) >= MET  # every kind of event has been met
