"""Jobs in a process of their own (job.py), one at a time: begun from the event loop, and ended with the server.

To start such a process takes many times what the gate of a small model does, on the cores that answer requests. So one that has
done its job waits a while for another. One whose job has failed goes at once, with whatever that has left in it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from cellserve.service.errors import (
    RepositoryAway,
    RepositoryError,
    RepositoryFull,
    ServiceError,
    UnknownModel,
    UnknownVersion,
    VersionRefused,
)
from cellserve.service.registry.publishing.job import COMMAND
from cellserve.service.registry.publishing.job_process import Ended, JobProcess

log = logging.getLogger(__name__)

_IDLE_SECONDS: Final = 30.0
_ERRORS: Final[Mapping[str, type[ServiceError]]] = {
    kind.reason: kind for kind in (RepositoryError, RepositoryAway, RepositoryFull, VersionRefused, UnknownModel, UnknownVersion)
}


class Jobs:
    """On the event loop. command: what does jobs, as JobProcess has it. idle_seconds: how long it waits for another."""

    def __init__(self, command: Sequence[str] = COMMAND, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._command = command
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Semaphore(1)  # the memory of one is bounded by its model, that of many by nothing
        self._working: JobProcess | None = None
        self._waiting: JobProcess | None = None
        self._going: asyncio.Task[None] | None = None  # after a while, the one that waits
        self._stopped = False

    async def lines(self, job: Mapping[str, Any], inherited: Sequence[int] = ()) -> AsyncIterator[dict[str, Any]]:
        """What the job says, as it says it. inherited: descriptors that its process holds too, until it is done.

        Raises the ServiceError that it ends with; VersionRefused: it crashed. Closed early, it ends the process.
        """
        async with self._turn:
            process = await self._begun(job, inherited)
            self._working, done = process, False
            try:
                async with aclosing(process.lines()) as lines:  # type: ignore[type-var]
                    async for line in lines:
                        if "refused" in line:
                            raise _ERRORS.get(line["reason"], RepositoryError)(line["refused"])
                        yield line
                done = True
            except Ended as error:
                raise self._why(error) from None
            finally:
                self._working = None
                if done and not self._stopped:
                    self._wait(process)
                else:
                    await process.end()

    async def result(self, job: Mapping[str, Any], inherited: Sequence[int] = ()) -> dict[str, Any]:
        """The one line of a job. Raises as `lines`."""
        async with aclosing(self.lines(job, inherited)) as lines:  # type: ignore[type-var]
            found = [line async for line in lines]
        if not found:
            raise VersionRefused("the process that checks it has ended without an answer")
        return found[0]

    async def stop(self) -> None:
        """What runs is ended, and nothing new begins."""
        self._stopped = True
        if self._working is not None:
            self._working.kill()
        if (waiting := self._taken()) is not None:
            await waiting.end()

    async def _begun(self, job: Mapping[str, Any], inherited: Sequence[int]) -> JobProcess:
        """By the one that waits, if it is still there. Raises RepositoryError: the server is stopping."""
        if (waiting := self._taken()) is not None:
            try:
                await waiting.begin(job, inherited)
                return waiting
            except Ended as error:
                log.debug("the process that did the last job is gone (%s)", error)
                await waiting.end()
        if self._stopped:
            raise RepositoryError("the server is stopping")
        process = await JobProcess.started(self._command)
        try:
            await process.begin(job, inherited)
        except Ended as error:
            await process.end()
            raise self._why(error) from None
        except BaseException:
            await process.end()
            raise
        return process

    def _why(self, error: Ended) -> ServiceError:
        if self._stopped:
            return RepositoryError("the server is stopping")
        return VersionRefused(f"the process that checks it {error}; its words are in the server's log")

    def _wait(self, process: JobProcess) -> None:
        self._waiting = process
        self._going = asyncio.create_task(self._let_go())

    async def _let_go(self) -> None:
        await asyncio.sleep(self._idle_seconds)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await waiting.leave()

    def _taken(self) -> JobProcess | None:
        """The one that waits, from now on somebody else's."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self._going is not None:
            self._going.cancel()
        return waiting
