"""Whether the load generator itself was the limit: its event loop's lag and its share of a processor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

_BEAT_SECONDS = 0.010
_BUSY_CORES = 0.9  # one Python thread cannot use more than one
_NOTICEABLE_SECONDS = 0.002  # a timer of the event loop is a millisecond late at any time
_NOTICEABLE_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class GeneratorLoad:
    """send_lag: from when a request was due to when it left. loop_lag: how late the event loop woke up when asked to."""

    cpu_cores: float
    send_lag_p99_seconds: float
    send_lag_max_seconds: float
    loop_lag_p99_seconds: float

    def complaint(self, latency_p99_seconds: float) -> str | None:
        """Why the figures may say more of the generator than of the server; None: they do not.

        Lags count when they are a good part of the slow answers' latency, p99 against p99.
        """
        noticeable = max(_NOTICEABLE_SECONDS, _NOTICEABLE_SHARE * latency_p99_seconds)
        reasons = []
        if self.cpu_cores > _BUSY_CORES:
            reasons.append(f"it used {self.cpu_cores:.2f} of the one core it can use")
        if self.send_lag_p99_seconds > noticeable:
            reasons.append(f"one request in a hundred left {self.send_lag_p99_seconds * 1e3:.1f} ms or more after it was due")
        if self.loop_lag_p99_seconds > noticeable:
            reasons.append(f"its event loop was up to {self.loop_lag_p99_seconds * 1e3:.1f} ms late (p99)")
        return "; ".join(reasons) or None


class LoopWatch:
    """`async with LoopWatch() as watch:` measures the event loop and the process for as long as the block runs."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, cpu_clock: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._lags: list[float] = []
        self._beating: asyncio.Task[None] | None = None
        self._started = self._cpu_started = 0.0

    async def __aenter__(self) -> Self:
        self._started, self._cpu_started = self._clock(), self._cpu_clock()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._beating is not None:
            self._beating.cancel()

    def load(self, send_lags_seconds: list[float]) -> GeneratorLoad:
        """What was measured so far."""
        elapsed = max(self._clock() - self._started, 1e-9)
        sends = np.array(send_lags_seconds or [0.0])
        return GeneratorLoad(
            cpu_cores=(self._cpu_clock() - self._cpu_started) / elapsed,
            send_lag_p99_seconds=float(np.percentile(sends, 99)),
            send_lag_max_seconds=float(sends.max()),
            loop_lag_p99_seconds=float(np.percentile(self._lags or [0.0], 99)),
        )

    async def _beat(self) -> None:
        while True:
            due = self._clock() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._lags.append(max(0.0, self._clock() - due))
