"""Random operations over replicas, deaths and a store that restarts; the long run is in tests/e2e."""

from __future__ import annotations

from collections import Counter

from tests.service.sessions.oracles import SumWorld
from tests.service.sessions.stores.driving import MET, drive


async def test_whatever_happens_to_replicas_every_answer_is_that_of_what_was_fed() -> None:
    met: Counter[str] = Counter()
    for seed in range(1, 4):
        met += await drive(SumWorld(), seed, operations=1200)
    assert set(met) >= MET
