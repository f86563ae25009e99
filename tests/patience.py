"""How long a test waits before it says that somebody hangs: time in which they could have worked.

A machine that others keep busy answers late, and no limit in seconds tells that from a server that hangs. The kernel does: it
counts for each thread how long it was ready to run and had to wait for a processor. That time is left out. Knows processes by
their ids, no server.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

Waited = Callable[[], float]  # seconds so far
T = TypeVar("T")
_LOOK_SECONDS: Final = 0.5


def nobody() -> float:
    """Of whom nothing is known: every second counts."""
    return 0.0


def waiting_for_a_processor(*pids: int) -> Waited:
    """Of these processes and of this one, all threads together. Where the kernel does not count, nothing."""
    return lambda: sum(_waited_seconds(pid) for pid in (*pids, os.getpid()))


def _waited_seconds(pid: int) -> float:
    waited = 0
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            waited += int((thread / "schedstat").read_text().split()[1])
    return waited / 1e9


async def within(seconds: float, asked: Awaitable[T], waited: Waited) -> T:
    """Its result. Raises TimeoutError once so many seconds have passed but for those in which somebody waited for a processor."""
    task = asyncio.ensure_future(asked)
    left, now, so_far = seconds, time.monotonic(), waited()
    try:
        while not (await asyncio.wait({task}, timeout=min(max(left, 0.0), _LOOK_SECONDS)))[0]:
            before, now, had_waited, so_far = now, time.monotonic(), so_far, waited()
            left -= (now - before) - min(now - before, max(so_far - had_waited, 0.0))
            if left <= 0:
                raise TimeoutError(f"nothing came in {seconds:g} s in which it could have")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
