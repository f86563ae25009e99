"""A program that this process has started: its output, its end. Knows no particular one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cellserve.service.cluster import bound

_TERM_SECONDS: Final = 5.0  # beyond what the program itself takes to end


class Child:
    """Has a process group of its own, so that Ctrl-C reaches only whoever started it. begun_seconds: on the monotonic clock.

    heard: called with each line of standard output that `line` has not returned, from when its end is waited for.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.begun_seconds = time.monotonic()
        self.heard: Callable[[str], None] | None = None

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        inside: Path | None = None,
    ) -> Child:
        """What it says on standard error is added to `log`; standard output is for `line`. stdin: what it reads. inside: the
        folder that it runs in; None: this process's.
        """
        launcher = (sys.executable, "-I", "-S", bound.__file__, str(os.getpid()), *command)
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *launcher,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=inside,
                start_new_session=True,
            )
        if process.stdin is not None:
            process.stdin.write(stdin.encode())
            process.stdin.close()
        return cls(process)

    @property
    def lives(self) -> bool:
        return self._process.returncode is None

    @property
    def lived_seconds(self) -> float:
        return time.monotonic() - self.begun_seconds

    async def line(self) -> str:
        """The next one of its standard output; empty at its end."""
        assert self._process.stdout is not None  # a pipe was asked for
        return (await self._process.stdout.readline()).decode(errors="replace")

    async def ended(self) -> int:
        """Waits for it. Its exit code; below 0 the signal that ended it."""
        assert self._process.stdout is not None
        if self.heard is not None:
            while line := await self.line():
                self.heard(line)
        while await self._process.stdout.read(65536):
            continue
        return await self._process.wait()

    def kill(self) -> None:
        if self.lives:
            self._process.kill()

    async def stop(self, within_seconds: float) -> None:
        """By SIGTERM, and by force where that takes too long."""
        if not self.lives:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), within_seconds + _TERM_SECONDS)
        except TimeoutError:
            self.kill()
            await self._process.wait()


def told(code: int) -> str:
    """How a program ended."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
