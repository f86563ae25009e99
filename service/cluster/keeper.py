"""Keeps one program running: started, waited for until it is ready, watched, and started again when it has died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final, Protocol

from cellserve.service.cluster.child import Child, told
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.restarts import Restarts

log = logging.getLogger(__name__)

READY_SECONDS: Final = 300.0  # large models take their time


class Program(Protocol):
    """What is kept. name: also of its log. drain_seconds: the longest it may take to end."""

    name: str
    drain_seconds: float

    async def start(self) -> Child: ...

    async def ready(self, child: Child) -> bool:
        """Waits for it. False: it has died."""

    async def unwell(self, child: Child) -> None:
        """Returns when it does not answer, although it lives. It is killed then."""


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"
    ENDED = "ended"


class Keeper:
    """changed: called whenever `state` has changed."""

    def __init__(self, program: Program, folder: Folder, changed: Callable[[], None]) -> None:
        self.program = program
        self.state = State.STARTING
        self.restarts = Restarts()
        self._folder = folder
        self._changed = changed
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self._was_ready = asyncio.Event()
        self.keeping = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        return None if self._child is None or not self._child.lives else self._child.pid

    async def ready(self) -> None:
        """Returns when it is ready for the first time. Raises ClusterFailed."""
        waiting = asyncio.create_task(self._was_ready.wait())
        await asyncio.wait((waiting, self.keeping), timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.keeping.done():
            self.keeping.result()
        if not self._was_ready.is_set():
            name = self.program.name
            raise ClusterFailed(f"{name} was not ready within {READY_SECONDS:g} s.\n{self._folder.tail(name)}")

    async def stop(self) -> None:
        """Returns when it has ended."""
        self._stopping.set()
        if self._child is not None:
            await self._child.stop(self.program.drain_seconds)
        await asyncio.wait((self.keeping,))

    async def _keep(self) -> None:
        """Until it is stopped. Raises ClusterFailed: it has died before it was ever ready, and would again."""
        while not self._stopping.is_set():
            self._show(State.STARTING)
            child = self._child = await self.program.start()
            code = await self._live(child)
            if self._stopping.is_set():
                break
            self._show(State.DEAD)
            how = f"{self.program.name} {told(code)}"
            if not self._was_ready.is_set():
                raise ClusterFailed(f"{how} before it was ready.\n{self._folder.tail(self.program.name)}")
            wait_seconds = self.restarts.wait_seconds(child.lived_seconds)
            log.warning("%s; another is started%s", how, f" in {wait_seconds:g} s" if wait_seconds else "")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_seconds)
        self._show(State.ENDED)

    async def _live(self, child: Child) -> int:
        """One life. Its exit code."""
        if self._stopping.is_set():  # while it was started
            await child.stop(self.program.drain_seconds)
        if await self.program.ready(child) and not self._stopping.is_set():
            self._show(State.READY)
            self._was_ready.set()
        else:
            return await child.ended()
        watching = asyncio.create_task(self._watch(child))
        try:
            return await child.ended()
        finally:
            watching.cancel()
            await asyncio.wait((watching,))

    async def _watch(self, child: Child) -> None:
        await self.program.unwell(child)
        if not self._stopping.is_set():
            log.warning("%s does not answer; it is killed", self.program.name)
            child.kill()

    def _show(self, state: State) -> None:
        self.state = state
        self._changed()
