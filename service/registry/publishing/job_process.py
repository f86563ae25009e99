"""One process that does jobs (job.py), one after the other: they go to it by a socket, with the descriptors that it is to hold
meanwhile, and what they say comes back line by line. On the event loop. Knows no errors but that it has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_LONGEST_LINE: Final = 1 << 24
DONE: Final[Mapping[str, Any]] = {"done": True}  # the last line of each job


class Ended(Exception):
    """It ended before its job was done. code: of its exit, negative: the signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}")
        self.code = code


class JobProcess:
    """Made by `started`."""

    def __init__(self, process: asyncio.subprocess.Process, jobs: socket.socket) -> None:
        self._process = process
        self._jobs = jobs

    @classmethod
    async def started(cls, command: Sequence[str]) -> JobProcess:
        """command: what does jobs, given the number of its socket as one more argument."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    env=os.environ | _ONE_THREAD,
                    limit=_LONGEST_LINE,
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, ours)

    async def begin(self, job: Mapping[str, Any], inherited: Sequence[int]) -> None:
        """inherited: descriptors that the process holds until it is done. Raises Ended: there is nobody to begin it."""
        content = json.dumps(dict(job)).encode() + b"\n"
        try:
            sent = socket.send_fds(self._jobs, [content], list(inherited))
            await asyncio.get_running_loop().sock_sendall(self._jobs, content[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Ended(await self._process.wait()) from None

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """What it says of the job, until that is done. Raises Ended."""
        assert self._process.stdout is not None
        async for text in self._process.stdout:
            line = json.loads(text)
            if line == DONE:
                return
            yield line
        raise Ended(await self._process.wait())

    async def leave(self) -> None:
        """Once it has nothing to do: it ends by itself."""
        self._jobs.close()
        await self._process.wait()

    async def end(self) -> None:
        """Now, whatever it does."""
        self.kill()
        await self.leave()

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
