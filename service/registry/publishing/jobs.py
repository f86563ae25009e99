"""Jobs in processes of their own (job.py), one at a time: started from the event loop, and ended with the server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
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

log = logging.getLogger(__name__)

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LONGEST_LINE: Final = 1 << 24
_ERRORS: Final[Mapping[str, type[ServiceError]]] = {
    kind.reason: kind for kind in (RepositoryError, RepositoryAway, RepositoryFull, VersionRefused, UnknownModel, UnknownVersion)
}


class Jobs:
    """On the event loop. command: what runs a job, given its JSON as one more argument."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._turn = asyncio.Semaphore(1)  # the memory of one is bounded by its model, that of many by nothing
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopped = False

    async def lines(self, job: Mapping[str, Any], inherited: Sequence[int] = ()) -> AsyncIterator[dict[str, Any]]:
        """What the job says, as it says it. inherited: descriptors that its process holds too.

        Raises the ServiceError that it ends with; VersionRefused: it crashed. Closed early, it ends the process.
        """
        async with self._turn:
            if self._stopped:
                raise RepositoryError("the server is stopping")
            process = await asyncio.create_subprocess_exec(
                *self._command,
                json.dumps(dict(job)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=inherited,
                env=os.environ | _ONE_THREAD,
                limit=_LONGEST_LINE,
            )
            self._running.add(process)
            try:
                assert process.stdout is not None
                async for text in process.stdout:
                    line = json.loads(text)
                    if "refused" in line:
                        raise _ERRORS.get(line["reason"], RepositoryError)(line["refused"])
                    yield line
                code = await process.wait()
                if code and not self._stopped:
                    ended = f"by signal {-code}" if code < 0 else f"with exit code {code}; its words are in the server's log"
                    raise VersionRefused(f"the process that checks it was ended {ended}")
                if code:
                    raise RepositoryError("the server is stopping")
            finally:
                self._running.discard(process)
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()

    async def result(self, job: Mapping[str, Any], inherited: Sequence[int] = ()) -> dict[str, Any]:
        """The one line of a job. Raises as `lines`."""
        async with aclosing(self.lines(job, inherited)) as lines:  # type: ignore[type-var]
            async for line in lines:
                return line
        raise VersionRefused("the process that checks it has ended without an answer")

    async def stop(self) -> None:
        """What runs is ended, and nothing new begins."""
        self._stopped = True
        for process in tuple(self._running):
            with suppress(ProcessLookupError):
                process.kill()
