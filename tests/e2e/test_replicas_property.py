"""A hundred thousand random operations over three replicas and a store, deaths and restarts of either, and moving aliases.

REPLICA_OPERATIONS and REPLICA_SEED do another number, or others. A failure tells its seed and the operation.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

from tests.service.sessions.oracles import NetworkWorld, SumWorld
from tests.service.sessions.stores.driving import MET, drive

pytestmark = pytest.mark.e2e

OPERATIONS = int(os.environ.get("REPLICA_OPERATIONS", 100_000))
FIRST_SEED = int(os.environ.get("REPLICA_SEED", 5000))
OPERATIONS_PER_SEED = 2_000
SEEDS_PER_NETWORK = 25


def test_no_position_is_applied_twice_and_every_answer_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    met: Counter[str] = Counter()
    seeds = range(FIRST_SEED, FIRST_SEED + -(-OPERATIONS // OPERATIONS_PER_SEED))
    for seed in seeds:
        world = NetworkWorld() if seed % SEEDS_PER_NETWORK == 0 else SumWorld()
        met += asyncio.run(drive(world, seed, OPERATIONS_PER_SEED))
    with capsys.disabled():
        counts = ", ".join(f"{name} {count}" for name, count in met.most_common())
        print(f"\n{len(seeds) * OPERATIONS_PER_SEED} operations: {counts}")
    assert set(met) >= MET
