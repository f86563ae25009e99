"""A started engine with one version, and the ways in which traffic comes: all at once, in a closed loop, in an open one.

Answers that carry an error end the benchmark: a rate of failures is no rate.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np

from cellserve.models.network import Network
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from tests.bench.engine import Unobserved

KEY = VersionKey("bench", 1)


@dataclass(frozen=True)
class Served:
    sequences: int
    seconds: float
    cpu_seconds: float


class Driver:
    """Use as a context manager; one call at a time."""

    def __init__(self, network: Network, implementation: str | None = None, workers: int = 1) -> None:
        self._implementation = implementation
        self._ended: SimpleQueue[tuple[float, list[Delivery]] | BaseException] = SimpleQueue()
        settings = EngineSettings(max_waiting_seconds=3600.0, max_waiting_timesteps=1_000_000_000, workers=workers)
        self.engine = Engine(self._delivered, Unobserved(), settings, self._ended.put)
        self.engine.add_version(KEY, network)
        longest = np.random.default_rng(3).standard_normal((100_000, network.spec.inputs[0].width or 1), dtype=np.float32)
        self._longest = longest

    def __enter__(self) -> Driver:
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()

    def answer_all(self, sequences: Iterable[np.ndarray]) -> None:  # each [T, features]
        """Preloaded: everything is submitted, then everything awaited."""
        left = {self._submit(inputs) for inputs in sequences}
        while left:
            left.difference_update(identity for identity, _, _ in self._next())

    def answer_one_by_one(self, sequences: Iterable[np.ndarray]) -> None:
        """Each is submitted when the one before it has been answered."""
        for inputs in sequences:
            self.answer_all([inputs])

    def closed_loop(self, lengths: Iterable[int], in_flight: int, seconds: float) -> Served:
        """The next one is sent when one is answered; what is under way at the end is awaited and not counted."""
        coming = iter(lengths)
        start, cpu = time.monotonic(), time.process_time()
        left = {self._submit(self._longest[: next(coming)]) for _ in range(in_flight)}
        served = 0
        while time.monotonic() < start + seconds:
            for identity, _, _ in self._next():
                left.remove(identity)
                left.add(self._submit(self._longest[: next(coming)]))
                served += 1
        made = Served(served, time.monotonic() - start, time.process_time() - cpu)
        while left:
            left.difference_update(identity for identity, _, _ in self._next())
        return made

    def open_loop(self, schedule: Sequence[tuple[float, int]]) -> list[tuple[int, float]]:
        """schedule: (seconds from now, steps), ascending. Returns (steps, seconds from when it was due to its answer)."""
        due: dict[int, float] = {}
        start = time.monotonic()
        for offset, steps in schedule:
            time.sleep(max(0.0, start + offset - time.monotonic()))
            due[self._submit(self._longest[:steps])] = start + offset
        waits: list[tuple[int, float]] = []
        while len(waits) < len(due):
            waits += [(steps, at - due[identity]) for identity, steps, at in self._next()]
        return waits

    def beside(self, schedule: Sequence[tuple[float, int]], others: Sequence[int]) -> list[tuple[int, float]]:
        """An open loop beside `others`, sequences so long that they outlast it; they are cancelled at its end."""
        companions = [self._submit(self._longest[:steps]) for steps in others]
        time.sleep(0.2)
        waits = self.open_loop(schedule)
        for identity in companions:
            self.engine.cancel(identity)
        while companions:
            for identity, _, _ in self._next(cancelled=True):
                companions.remove(identity)
        return waits

    def _submit(self, inputs: np.ndarray) -> int:
        return self.engine.submit(Work(KEY, (inputs,), implementation=self._implementation))

    def _delivered(self, deliveries: list[Delivery]) -> None:
        self._ended.put((time.monotonic(), deliveries))

    def _next(self, cancelled: bool = False) -> list[tuple[int, int, float]]:
        """(id, steps, when) of everything in the next delivery."""
        match self._ended.get():
            case BaseException() as death:
                raise death
            case at, deliveries:
                for delivery in deliveries:
                    if delivery.error is not None and not cancelled:
                        raise delivery.error
                return [(delivery.sequence_id, delivery.steps, at) for delivery in deliveries]
