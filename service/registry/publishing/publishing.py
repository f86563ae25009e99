"""Publications from their first part to a version: one after the other of each, resumed where they were broken off, once each.

On the event loop; disks are read and written in threads, the gate runs in a process (jobs.py). Knows no wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError, VersionRefused
from cellserve.service.registry.manifest import ModelRef
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.jobs import Jobs
from cellserve.service.registry.publishing.uploads import Upload, UploadLimits, Uploads
from cellserve.service.registry.repository.repository import Repository

log = logging.getLogger(__name__)

_SWEEP_SECONDS: Final = 60.0

Result = TypeVar("Result")


class Part(NamedTuple):
    """The next bytes of a file."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """repeated: it had become this version before."""

    key: VersionKey
    repeated: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is held of each declared file, in bytes."""

    received: Mapping[str, int]


class Publishing:
    """Build it on the event loop, `start` and `stop` it, once each."""

    def __init__(self, repository: Repository, limits: UploadLimits, jobs: Jobs | None = None) -> None:
        self._repository = repository
        self._uploads = Uploads(repository.root, limits)
        self._jobs = jobs or Jobs()
        self._readers: dict[str, asyncio.Task[Any]] = {}  # by folder: who takes parts
        self._gates: dict[str, asyncio.Task[Published]] = {}  # by folder: what has come whole
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """A publication that has come whole and is not a version yet is kept, to be resumed."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._jobs.stop()
        if self._gates:
            await asyncio.wait(self._gates.values())

    async def publish(self, declaration: Declaration, parts: AsyncIterator[Part]) -> Published | Unfinished:
        """Raises InvalidInput, UploadLimit, UploadDamaged, UploadBusy, VersionRefused, RepositoryFull, RepositoryError."""
        folder = declaration.folder
        if (known := await self._known(declaration)) is not None:
            return known
        if (gate := self._gates.get(folder)) is None:
            upload = await self._taken(declaration, parts)
            if isinstance(upload, Unfinished):
                return upload
            gate = self._gates[folder] = asyncio.create_task(self._pass(upload))
            gate.add_done_callback(partial(self._passed, folder))
        return await asyncio.shield(gate)

    async def verify(self, reference: ModelRef | None) -> AsyncIterator[Mapping[str, Any]]:
        """A verdict after the other, as verifying.Verdict has it. Raises UnknownModel, UnknownVersion, RepositoryError."""
        job = {
            "kind": "verify",
            "repository": dict(self._repository.address),
            "reference": "" if reference is None else str(reference),
        }
        async for line in self._jobs.lines(job):
            yield line

    async def _known(self, declaration: Declaration) -> Published | None:
        version = await asyncio.to_thread(self._repository.published_as, declaration.model, declaration.publication_id)
        if version is None:
            return None
        await asyncio.to_thread(self._uploads.forget, declaration)
        manifest = await asyncio.to_thread(self._repository.manifest, declaration.model, version)
        return Published(manifest.key, True, manifest.notes)

    async def _taken(self, declaration: Declaration, parts: AsyncIterator[Part]) -> Upload | Unfinished:
        """Held, where it is whole. Who comes again takes over from whoever has not noticed that its connection is broken."""
        folder = declaration.folder
        task = asyncio.current_task()
        assert task is not None
        while (before := self._readers.get(folder)) is not None:
            before.cancel()
            await asyncio.wait((before,))
        self._readers[folder] = task
        try:
            upload = await _finished(asyncio.to_thread(self._uploads.open, declaration), Upload.close)
            try:
                async for part in parts:
                    await _finished(asyncio.to_thread(upload.append, *part))
                if not upload.whole:
                    received = upload.received
                    upload.close()
                    return Unfinished(received)
                await _finished(asyncio.to_thread(upload.verify))
            except BaseException:
                upload.close()
                raise
            return upload
        finally:
            del self._readers[folder]

    async def _pass(self, upload: Upload) -> Published:
        declaration = upload.declaration
        job = {
            "kind": "publish",
            "repository": dict(self._repository.address),
            "folder": str(upload.folder),
            "model": declaration.model,
            "publication_id": declaration.publication_id,
            "tags": dict(declaration.tags),
            "by": declaration.by,
        }
        try:
            try:
                line = await self._jobs.result(job, (upload.lock,))
            except VersionRefused:  # and so it would be again
                await asyncio.to_thread(upload.discard)
                raise
            await asyncio.to_thread(upload.discard)
            return Published(VersionKey(declaration.model, line["version"]), False, tuple(line["notes"]))
        finally:
            upload.close()

    def _passed(self, folder: str, gate: asyncio.Task[Published]) -> None:
        del self._gates[folder]
        if not gate.cancelled() and (error := gate.exception()) is not None:
            log.info("a publication was not made a version: %s", error)

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._uploads.sweep)
            except (OSError, ServiceError) as error:
                log.warning("unfinished publications cannot be swept: %s", error)
            await asyncio.sleep(_SWEEP_SECONDS)


async def _finished(work: Awaitable[Result], undo: Callable[[Result], None] | None = None) -> Result:
    """Of a thread, which goes on when whoever waits for it is cancelled: waits it out, so that nothing is written afterwards.

    undo: what to do with the result then.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if undo is not None and not task.cancelled() and task.exception() is None:
            undo(task.result())
        raise
