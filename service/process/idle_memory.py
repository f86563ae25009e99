"""Memory that the allocator keeps for itself, given back to the machine when the process rests.

glibc keeps what large requests have freed for the next of them, hundreds of megabytes after many that were cancelled. To trim
while it is busy would make the next requests fetch every page anew. Knows no requests: who uses little of a processor rests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

EVERY_SECONDS: Final = 10.0
_RESTING_CORES: Final = 0.05
_WORTH_BYTES: Final = 32 * 2**20  # risen by less, nothing is given back


@dataclass(slots=True)
class Rest:
    """Whether to trim, look after look. floor_bytes: what was resident after the last trim, or the least since; None: not known.

    Pure: it is told what was seen.
    """

    floor_bytes: int | None = None

    def is_due(self, resident_bytes: int, cpu_seconds: float, elapsed_seconds: float) -> bool:
        """cpu_seconds: that the process used in `elapsed_seconds`. The first look only sees."""
        if self.floor_bytes is None or resident_bytes < self.floor_bytes:
            self.floor_bytes = resident_bytes
        return cpu_seconds < _RESTING_CORES * elapsed_seconds and resident_bytes - self.floor_bytes >= _WORTH_BYTES

    def trimmed(self, resident_bytes: int) -> None:
        """What is resident now is in use: versions that were loaded, states."""
        self.floor_bytes = resident_bytes


class IdleMemory:
    """Looks now and then, from `start` until `stop`, on the event loop; trims in a thread."""

    def __init__(
        self,
        resident_bytes: Callable[[], int | None],
        trim: Callable[[], None],
        every_seconds: float = EVERY_SECONDS,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        """resident_bytes: None where the system does not tell; then nothing is ever trimmed."""
        self._resident_bytes = resident_bytes
        self._trim = trim
        self._every_seconds = every_seconds
        self._cpu_clock = cpu_clock
        self._rest = Rest()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        resident = self._resident_bytes()
        if resident is not None:
            self._rest.trimmed(resident)  # a burst before the first look is one too
            self._looking = asyncio.create_task(self._look_on(), name="idle memory")

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    async def _look_on(self) -> None:
        while True:
            seconds, cpu_seconds = time.monotonic(), self._cpu_clock()
            await asyncio.sleep(self._every_seconds)
            resident = self._resident_bytes() or 0
            if self._rest.is_due(resident, self._cpu_clock() - cpu_seconds, time.monotonic() - seconds):
                await asyncio.to_thread(self._trim)
                self._rest.trimmed(self._resident_bytes() or 0)
