"""The front is tested on both event loops that it may meet: asyncio's own, and uvloop's, which the server takes where it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
with suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS
