"""From when a `cellserve serve` that is kept running serves, and until when. Needs no package: so it is also where Ray lives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from cellserve.service.cluster.child import Child

ANSWER_SECONDS: Final = 10.0  # within which it says that it is well
_READY: Final = re.compile(r"cellserve ready on (?P<host>\S+):(?P<port>\d+) \(metrics (?P<metrics_port>\d+)\)")
_EVERY_SECONDS: Final = 2.0
_FAILURES: Final = 3  # in a row: it is not only busy


class Listening(NamedTuple):
    host: str
    port: int
    metrics_port: int


async def listening(child: Child) -> Listening | None:
    """Where, by the line that it prints then; None: it ended before."""
    while line := await child.line():
        if found := _READY.search(line):
            return Listening(found["host"], int(found["port"]), int(found["metrics_port"]))
    return None


async def until_unwell(is_well: Callable[[], Awaitable[bool]]) -> None:
    """is_well: asks it, and waits for ANSWER_SECONDS at most."""
    failures = 0
    while failures < _FAILURES:
        await asyncio.sleep(_EVERY_SECONDS)
        failures = 0 if await is_well() else failures + 1
