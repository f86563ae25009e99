"""Thousands of random operations against a model of what must hold, and many of them at once.

Every reply equals what the oracle says of exactly the steps that were accepted, feed by feed; nobody ever meets another's state,
whatever is parked, evicted, moved, restarted or lost. `make e2e` does a million.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.service.sessions.driving import MET, drive
from tests.service.sessions.fakes import LAYOUT, version
from tests.service.sessions.oracles import NetworkWorld, SumWorld


async def test_sequences_are_what_was_fed_to_them(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in range(4):
        met += await drive(tmp_path / str(seed), SumWorld(), seed, operations=1000)
    assert set(met) >= MET  # every kind of event has been met


async def test_sequences_on_a_real_network_answer_as_the_oracle_does(tmp_path: Path) -> None:
    counts = await drive(tmp_path, NetworkWorld(), seed=7, operations=300)
    assert counts["started"] > 20


def test_the_drive_would_notice_a_step_too_many() -> None:
    world = SumWorld()
    once = world.inputs(random.Random(0), 1)
    right = np.cumsum(once, axis=0, dtype=np.float32)
    world.compare(right, 1, (once,))
    with pytest.raises(AssertionError):
        world.compare(right, 1, (once, once))
    assert LAYOUT.width == version("m", 1).state_layout.width
