"""Clients of one model, in a process of their own: one-shots and live sequences, each as soon as the last was answered.

Each answer is held against that of the version that it names. A line on standard input ends a stretch of time, of which a line of
JSON tells: answers, failures, and latencies of the one-shots in milliseconds.

    python -m tests.e2e.swap_load ADDRESS EXPECTED.npz ONE_SHOTS SEQUENCES
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from cellserve.service.client import AsyncClient

MODEL = "digits"
_TOLERANCE = 1e-4


@dataclass
class Stretch:
    seconds: list[float] = field(default_factory=list)  # of each one-shot
    feeds: int = 0
    versions: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def told(self) -> str:
        p50, p99, most = (1000 * np.percentile(self.seconds, (50, 99, 100))).tolist() if self.seconds else (0.0, 0.0, 0.0)
        facts = {"one_shots": len(self.seconds), "feeds": self.feeds, "p50_ms": p50, "p99_ms": p99, "most_ms": most}
        return json.dumps(
            facts | {"versions": sorted(self.versions), "failed": len(self.failures), "failures": self.failures[:3]}
        )


class Load:
    """x: [T, features]. right: version → outputs of its last step, [classes]."""

    def __init__(self, client: AsyncClient, x: NDArray[np.float32], right: dict[int, NDArray[np.float64]]) -> None:
        self._client = client
        self._x = x
        self._right = right
        self.stretch = Stretch()

    async def one_shots(self) -> None:
        while True:
            began = perf_counter()
            try:
                told = await self._client.run(MODEL, self._x)
            except Exception as error:
                self.stretch.failures.append(f"one-shot: {error}")
                continue
            self.stretch.seconds.append(perf_counter() - began)
            self._check(told.version, told.answer)

    async def sequences(self) -> None:
        while True:
            try:
                async with self._client.sequence(MODEL) as sequence:
                    for step in self._x:
                        answer = await sequence.feed(step[None])
                        self.stretch.feeds += 1
                    self._check(int(sequence.version), answer)
            except Exception as error:
                self.stretch.failures.append(f"live sequence: {error}")

    def _check(self, version: int, answer: object) -> None:
        self.stretch.versions.add(version)
        if not np.allclose(np.asarray(answer), self._right[version], atol=_TOLERANCE):
            self.stretch.failures.append(f"not the answer of version {version}: {answer}")


async def main(address: str, expected: str, one_shots: int, sequences: int) -> None:
    with np.load(expected) as arrays:
        x = arrays["x"]
        right = {int(name): arrays[name] for name in arrays.files if name != "x"}
    async with AsyncClient(address) as client:
        load = Load(client, x, right)
        tasks = [asyncio.create_task(load.one_shots()) for _ in range(one_shots)]
        tasks += [asyncio.create_task(load.sequences()) for _ in range(sequences)]
        while await asyncio.to_thread(sys.stdin.readline):
            over, load.stretch = load.stretch, Stretch()
            print(over.told(), flush=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
