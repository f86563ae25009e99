"""How busy the event loop is, and how late it comes to what is due. Measures; knows nobody who uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_INTERVAL_SECONDS: Final = 0.02

Heard = Callable[[float, float, float], None]  # now, busy part, lag in seconds; on time.monotonic's clock


class LoopLag:
    """Tells `heard` every 20 ms, from `start` until `stop`. On the event loop."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._timer: asyncio.TimerHandle | None = None
        self._due_seconds = 0.0
        self._last_seconds = 0.0
        self._last_cpu_seconds = 0.0

    def start(self) -> None:
        self._last_seconds, self._last_cpu_seconds = time.monotonic(), time.thread_time()
        self._wait()

    def stop(self) -> None:
        """May be called twice, or without a start."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._due_seconds = time.monotonic() + _INTERVAL_SECONDS
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL_SECONDS, self._tick)

    def _tick(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        busy = (cpu - self._last_cpu_seconds) / max(now - self._last_seconds, 1e-9)
        self._last_seconds, self._last_cpu_seconds = now, cpu
        self._heard(now, min(busy, 1.0), max(0.0, now - self._due_seconds))
        self._wait()
