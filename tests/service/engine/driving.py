"""An engine driven by hand: no threads, no real time, every iteration where the test wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import LaneFact, VersionKey
from cellserve.service.engine.running.transfers import Transfers, transfers_of
from cellserve.service.engine.sequence import Work
from tests.fakes import DeliveryBox, FakeClock, FakeNetwork, RecordingObserver

KEY = VersionKey("sums", 1)


class HandDriven:
    """`engine` with `box`, `observer` and `clock`, and one version KEY of `network`."""

    def __init__(
        self,
        network: Any = None,
        clock: FakeClock | None = None,
        observer: RecordingObserver | None = None,
        transfers_of: Callable[[torch.device], Transfers] = transfers_of,
        **settings: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.network = network or FakeNetwork()
        self.box = DeliveryBox()
        self.observer = observer or RecordingObserver()
        self.deaths: list[BaseException] = []
        self.settings = EngineSettings(**settings)
        self.engine = Engine(
            self.box,
            self.observer,
            self.settings,
            self.deaths.append,
            clock=self.clock,
            processor_clock=None,
            transfers_of=transfers_of,
        )
        self.engine.add_version(KEY, self.network)

    @property
    def lane(self) -> LaneFact:
        (fact,) = self.engine.lanes()
        return fact

    @property
    def busy(self) -> bool:
        return any(worker.busy_lanes for worker in self.engine.workers)

    def iterate(self) -> None:
        """One turn of every loop."""
        for worker in self.engine.workers:
            worker.obey_commands(wait=False)
            worker.iterate()

    def finish(self) -> None:
        """Turns until nothing is live."""
        self.iterate()
        while self.busy:
            self.iterate()


def work(inputs: np.ndarray, **options: Any) -> Work:
    return Work(options.pop("version", KEY), (inputs,), **options)


def steps(count: int, width: int = 2) -> np.ndarray:
    """[count, width] small integers, different at each step."""
    return (np.arange(count * width).reshape(count, width) % 7 + 1).astype(np.float32)
