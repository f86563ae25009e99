"""Ways of running a version that a request was the first to need: prepared in a thread, once for all who ask meanwhile.

Knows no messages and no models.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cellserve.service.engine.preparation import Unprepared


class Preparations:
    """Lives on the event loop, which goes on meanwhile."""

    def __init__(self) -> None:
        self._under_way: dict[Any, asyncio.Future[None]] = {}

    async def prepare(self, missing: Unprepared) -> None:
        """Returns when it is ready, or is refused from now on. Raises what went wrong. Who is cancelled, leaves it to others."""
        under_way = self._under_way.get(missing.key)
        if under_way is None:
            under_way = self._under_way[missing.key] = asyncio.ensure_future(asyncio.to_thread(missing.prepare))
            under_way.add_done_callback(lambda done: self._forget(missing.key, done))
        await asyncio.shield(under_way)

    def _forget(self, key: Any, done: asyncio.Future[None]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # told to those who waited for it, if anybody still did
