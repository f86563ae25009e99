"""What the repository holds, read again and again: one reading at a time, and where it cannot be asked what was known goes on.

Reads in threads, and tells the log what has changed. Lives on the event loop. Knows no engine and nothing of what is loaded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from cellserve.service.errors import RepositoryAway, UnknownModel
from cellserve.service.registry import snapshot as disk_view
from cellserve.service.registry.repository.model_on_disk import read_model
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.watch import changes, regularly

log = logging.getLogger(__name__)


class DiskReader:
    """snapshot: as it was read last. trouble: why it cannot be read, so that what was known goes on; None: it can."""

    def __init__(self, repository: Repository) -> None:
        self.snapshot = Snapshot()
        self.trouble: str | None = None
        self._repository = repository
        self._reading = asyncio.Lock()
        self._subscribers: list[Callable[[], None]] = []

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Calls it when versions or aliases are others than they were, or cannot be read."""
        self._subscribers.append(callback)

    async def read(self, follow: Callable[[], None]) -> None:
        """follow: called once the snapshot is what is there, before subscribers are told. Raises RepositoryError (the root)."""
        async with self._reading:
            await self._look()
            before = self.snapshot
            self.snapshot = await asyncio.to_thread(disk_view.read, self._repository, before)
            disk_view.tell(before, self.snapshot)
        follow()
        if self.snapshot != before:
            self._tell()

    async def is_news(self, model: str) -> bool:
        """Whether the model is another one than the snapshot says."""
        known = self.snapshot.models.get(model)
        try:
            return await asyncio.to_thread(read_model, self._repository, model, known) != known
        except UnknownModel:
            return known is not None

    def looks(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Yields whenever it may have changed, until `stop` is set."""
        seconds = self._repository.poll_seconds
        return changes(self._repository.root, stop) if seconds is None else regularly(stop, seconds)

    async def _look(self) -> None:
        """Raises RepositoryAway: it cannot be asked, and nothing was known."""
        trouble: str | None = None
        try:
            await asyncio.to_thread(self._repository.refresh)
        except RepositoryAway as error:
            if not await asyncio.to_thread(self._repository.models):
                raise
            trouble = str(error)
        if trouble != self.trouble:
            if self.trouble is None:
                log.warning("what is loaded stays: %s", trouble)
            elif trouble is None:
                log.info("%s is read again", self._repository.name)
            self.trouble = trouble
            self._tell()

    def _tell(self) -> None:
        for callback in tuple(self._subscribers):
            callback()
