"""Keeps live sequences within their limits: before one begins or comes back, parks the coldest or evicts the longest idle.

Runs on the event loop; the disk is written in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import numpy as np

from cellserve.service.errors import Overloaded
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.parking import ParkedRow, ParkingFile
from cellserve.service.sessions.storage.pins import Pin

log = logging.getLogger(__name__)

_PARKED_AT_ONCE: Final = 1024  # states written in one go
_RETRY_SECONDS: Final = 1.0


class Capacity:
    def __init__(self, live: LiveSessions, settings: SessionSettings, observer: SessionObserver) -> None:
        self._live = live
        self._settings = settings
        self._observer = observer
        self._folder = settings.directory
        self._files: dict[int, ParkingFile] = {}  # by the width of their states
        self._parking = asyncio.Lock()
        self._holding = False
        self._promised_bytes = 0  # to sequences that are being computed or read

    @contextmanager
    def unchanged_disk(self) -> Iterator[None]:
        """What is parked now or meanwhile stays readable to the end, also when it is unparked. One at a time."""
        self._holding = True
        for file in self._files.values():
            file.hold()
        try:
            yield
        finally:
            self._holding = False
            for file in self._files.values():
                file.release()

    @asynccontextmanager
    async def place(self, pin: Pin) -> AsyncIterator[None]:
        """For a sequence of `pin`, which is among the live ones when this is left. Raises Overloaded."""
        await self._make_places(len(self._live))
        async with self.memory(pin):
            yield

    @asynccontextmanager
    async def memory(self, pin: Pin) -> AsyncIterator[None]:
        """For a state of `pin`, which is in memory when this is left. Raises Overloaded."""
        await self._make_bytes(pin.state_bytes)
        self._promised_bytes += pin.state_bytes
        try:
            yield
        finally:
            self._promised_bytes -= pin.state_bytes

    async def one_more(self, pin: Pin) -> None:
        """For a sequence of `pin` that begins at once. Raises Overloaded."""
        await self._make_places(len(self._live) + 1)
        await self._make_bytes(pin.state_bytes)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    async def _make_places(self, wanted: int) -> None:
        if wanted > self._settings.max_sessions:
            before = len(self._live)
            self._live.reap()
            wanted -= before - len(self._live)
        for _ in range(wanted - self._settings.max_sessions):
            if not self._live.evict_longest_idle():
                raise Overloaded(
                    f"all {self._settings.max_sessions} sequences that this server keeps at once are in use",
                    retry_after_seconds=_RETRY_SECONDS,
                )

    async def _make_bytes(self, needed: int) -> None:
        while self._live.pins.bytes + self._promised_bytes + needed > self._settings.memory_bytes:
            if not await self._park() and not self._live.evict_longest_idle(in_memory=True):
                raise Overloaded(
                    f"the states of active sequences fill the {self._settings.memory_bytes} bytes that this server has for them",
                    retry_after_seconds=_RETRY_SECONDS,
                )

    async def _park(self) -> bool:
        """Moves the coldest states to disk. False if there is no disk, or nothing idle in memory."""
        if self._folder is None:
            return False
        before = self._live.pins.bytes
        async with self._parking:
            if self._live.pins.bytes < before:
                return True  # somebody else has just done it
            spare = max(1, self._settings.memory_bytes // 20)  # so that not every start parks
            sessions = self._live.coldest(_PARKED_AT_ONCE)
            if not sessions or sessions[0].pin is None:
                return False
            width = sessions[0].pin.slab.width
            sessions = [session for session in sessions if session.pin is not None and session.pin.slab.width == width]
            sessions = sessions[: max(1, spare // max(4 * width, 1))]
            rows = [(session, session.pin, session.row) for session in sessions]
            states = np.stack([pin.slab.read(row) for _, pin, row in rows if pin is not None and row is not None])
            try:
                file = await self._file(width)
                slots = file.take(len(rows))
                await asyncio.to_thread(file.write, slots, states)
            except OSError as error:
                log.error("states cannot be parked in %s and are evicted instead: %s", self._folder, error.strerror or error)
                self._folder = None
                return False
            for (session, pin, row), slot in zip(rows, slots):
                parked = ParkedRow(file, slot)
                if session.pin is pin and session.row is row and not session.busy and pin is not None:
                    self._live.mark_parked(session, parked)
                    self._observer.on_session_event(pin.key, "parked")
                else:
                    parked.free()  # used meanwhile
            return True

    async def _file(self, width: int) -> ParkingFile:
        file = self._files.get(width)
        if file is None and self._folder is not None:
            file = self._files[width] = await asyncio.to_thread(ParkingFile, self._folder, width)
            if self._holding:
                file.hold()
        if file is None:
            raise OSError("no folder to park in")
        return file
