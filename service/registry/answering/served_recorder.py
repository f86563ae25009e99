"""What is recorded of aliases that a server answers, on disk for its next start.

Writing is in a thread, one at a time; a repository that cannot be written to costs the next start its fallback, and is told
once. Decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from cellserve.service.errors import ServiceError, UnknownModel
from cellserve.service.registry.repository.model_on_disk import ModelOnDisk
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.repository.served import Served

log = logging.getLogger(__name__)


class ServedRecorder:
    """of: what is to be recorded of a model now, given what is so far."""

    def __init__(self, repository: Repository, of: Callable[[str, Served], Served]) -> None:
        self._repository = repository
        self._of = of
        self._recorded: dict[str, Served] = {}
        self._unwritable: set[str] = set()
        self._due: dict[str, Served] = {}
        self._writer: asyncio.Task[None] | None = None

    def record(self, models: Mapping[str, ModelOnDisk]) -> None:
        """Has everything written that is otherwise than it was read, or recorded last. models: as they were read."""
        for name in self._recorded.keys() - models.keys():
            del self._recorded[name]
        for name, model in models.items():
            known = self._recorded.get(name, model.served)
            wanted = self._of(name, known)
            if wanted != known:
                self._recorded[name] = self._due[name] = wanted
        if self._due and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def stop(self) -> None:
        """Returns when all is written."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._due:
            name, served = self._due.popitem()
            try:
                await asyncio.to_thread(self._repository.write_served, name, served)
            except UnknownModel:
                log.debug("%s was removed before it was recorded what served of it", name)
            except ServiceError as error:
                if name not in self._unwritable:
                    log.warning("%s; if its version fails at the next start, there will be none to fall back on", error)
                self._unwritable.add(name)
