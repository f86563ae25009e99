"""Long sequences of our own clients, on streams and by calls, while one of two replicas after the other is killed.

A stream ends with its replica, and what was sent on it is nobody's to send again but the client's. Each sequence is longer than
what a client keeps to feed again: nothing but the store can have it. Every answer is held to the oracle's. STREAM_STEPS says how
long the sequences are, STREAM_KILLS how often a replica dies.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cellserve.service.client import AsyncClient, Client
from tests.e2e.replicas import require_right
from tests.service.cluster.running import Running, cluster, missing

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(missing() is not None, reason="no Envoy or no Valkey on this machine")]

STEPS = int(os.environ.get("STREAM_STEPS", 2400))
KILLS = int(os.environ.get("STREAM_KILLS", 6))
TOGETHER, APART, THREADS = 8, 4, 4  # sequences on one stream, on streams of their own, in threads
MOST_AT_ONCE = 8  # steps of a feed


class Pace:
    """Nobody runs ahead of the deaths: share is how much of each sequence may be fed so far."""

    def __init__(self) -> None:
        self.share = 0.0


class Walk:
    """A sequence that is to be fed, and what was answered."""

    def __init__(self, seed: int, pace: Pace) -> None:
        self._pace = pace
        chance = np.random.default_rng(seed)
        self.name = f"walk {seed}"
        self.steps = chance.normal(size=(STEPS, 3)).astype(np.float32)
        cuts = np.cumsum(chance.integers(1, MOST_AT_ONCE + 1, size=STEPS))
        self.ends = [*(int(cut) for cut in cuts if cut < STEPS), STEPS]
        self.answers: list[list[float]] = []

    def feeds(self) -> Iterator[np.ndarray]:
        for begin, end in zip([0, *self.ends[:-1]], self.ends, strict=True):
            yield self.steps[begin:end]

    def ahead(self) -> bool:
        return len(self.answers) >= self._pace.share * len(self.ends)

    def answered(self, answer: np.ndarray, position: int) -> None:
        assert position == self.ends[len(self.answers)]
        self.answers.append(answer.reshape(-1).tolist())

    def require_right(self) -> None:
        assert len(self.answers) == len(self.ends)
        require_right(self.answers, self.steps, self.ends)


async def together(url: str, walks: list[Walk]) -> None:
    """On the one stream of a client."""
    async with AsyncClient(url) as client, asyncio.TaskGroup() as group:
        for walk in walks:
            group.create_task(one(client, walk))


async def one(client: AsyncClient, walk: Walk) -> None:
    async with client.sequence("small", walk.name) as sequence:
        for steps in walk.feeds():
            while walk.ahead():
                await asyncio.sleep(0.005)
            walk.answered(await sequence.feed(steps), sequence.position)


def in_thread(url: str, walk: Walk) -> None:
    with Client(url) as client, client.sequence("small", walk.name) as sequence:
        for steps in walk.feeds():
            while walk.ahead():
                time.sleep(0.005)
            walk.answered(sequence.feed(steps), sequence.position)


async def kill_now_and_then(running: Running, walks: list[Walk], pace: Pace) -> None:
    """Each in the midst of its share of all feeds, which goes on meanwhile."""
    feeds = sum(len(walk.ends) for walk in walks)
    for kill in range(KILLS):
        pace.share = (kill + 1) / KILLS
        while sum(len(walk.answers) for walk in walks) < feeds * (kill + 0.5) / KILLS:
            await asyncio.sleep(0.002)
        running.kill(kill % 2)
        await asyncio.to_thread(running.wait_for, kill % 2, kill // 2 + 1)


async def test_no_death_of_a_replica_loses_a_step_of_our_clients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pace = Pace()
    walks = [Walk(seed, pace) for seed in range(TOGETHER + APART + THREADS)]
    with cluster(tmp_path) as running:
        async with asyncio.TaskGroup() as group:
            group.create_task(together(running.url, walks[:TOGETHER]))
            for walk in walks[TOGETHER:-THREADS]:
                group.create_task(together(running.url, [walk]))
            for walk in walks[-THREADS:]:
                group.create_task(asyncio.to_thread(in_thread, running.url, walk))
            await kill_now_and_then(running, walks, pace)
        events = {
            name: sum(running.counted(each, "cellserve_session_events_total", f'event="{name}"') for each in range(2))
            for name in ("loaded", "repeated", "conflict")
        }
    for walk in walks:
        walk.require_right()
    assert events["loaded"] > 0  # the survivor of the last death
    with capsys.disabled():
        print(f"\n{KILLS} kills, {sum(len(walk.answers) for walk in walks)} feeds of {STEPS} steps a sequence; {events}")
