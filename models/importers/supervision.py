"""A process that reads what nobody vouches for: how long it may compute, how much it may hold, and what its end means.

Knows processes; no model files and no formats.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused

SINGLE_THREADED: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads reserve memory, and reading needs none
OVERTIME: Final = signal.SIGXCPU  # what the system ends a process with that has had its time on a processor
WAITING: Final = 20  # times that: on the clock, for one that sleeps instead of computing; a busy machine takes some of it
NO_ROOM: Final = 75  # the exit code of a process that could not leave its answer, since the disk is full
WHAT_TO_DO: Final = "the file is damaged, or made to do harm. Copy it again, or save the model again where it was made"


class ReaderFailed(RuntimeError):
    """The reading process failed in a way that the file is not to be blamed for; the message carries its traceback."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """`cpu_seconds`: on a processor, until it is ended, however long that takes on a busy machine.

    `memory_bytes`: of address space, the interpreter and its libraries included.
    """

    cpu_seconds: int
    memory_bytes: int

    @classmethod
    def for_files_of(cls, size_bytes: int) -> Confinement:
        """Room for the arrays several times over; far more time than reading takes."""
        return cls(cpu_seconds=30 + size_bytes // (5 << 20), memory_bytes=(2 << 30) + 8 * size_bytes)

    def enter(self) -> None:
        """Binds this process to it, for good: past the memory allocations fail, past the time the system ends it."""
        limits = {
            resource.RLIMIT_AS: (self.memory_bytes, self.memory_bytes),
            resource.RLIMIT_CPU: (self.cpu_seconds, self.cpu_seconds + 1),  # at the first OVERTIME; at the second, for good
            resource.RLIMIT_CORE: (0, 0),
        }
        for kind, bounds in limits.items():
            with suppress(ValueError, OSError):  # where the system has no such limit, or a lower one already
                resource.setrlimit(kind, bounds)


def supervise(command: Sequence[str], confinement: Confinement, source: Path) -> None:
    """Runs the command, which reads `source`, to its end.

    Raises ImportRefused: it crashed or took too long, which only damaged files do. OSError: it ended with NO_ROOM. ReaderFailed:
    any other end but success.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=confinement.cpu_seconds * WAITING,
            env=os.environ | SINGLE_THREADED,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ImportRefused(
            str(source), f"reading it had not come to an end after {confinement.cpu_seconds * WAITING} s; {WHAT_TO_DO}"
        ) from error
    if done.returncode == -OVERTIME:
        what = f"reading it had not come to an end after {confinement.cpu_seconds} s on a processor"
        raise ImportRefused(str(source), f"{what}; {WHAT_TO_DO}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ImportRefused(str(source), f"reading it crashed the library that reads such files ({name}); {WHAT_TO_DO}")
    if done.returncode == NO_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir())
    if done.returncode:
        raise ReaderFailed(f"{source}: the reading process failed:\n{done.stderr.decode(errors='replace')[-4000:]}")
