"""Writes of one turn of the event loop go together, and so do those that come while others are on their way. Knows no store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from cellserve.service.sessions.stores.store import Write

_MOST_RECORDS: Final = 256
_MOST_BYTES: Final = 8 << 20

Flush = Callable[[Sequence[Write]], Awaitable[Sequence[bytes | None]]]


class Turns:
    """flush: writes several, and gives what became of each, in order. It is not called again before it is done."""

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._waiting: deque[tuple[Write, asyncio.Future[bytes | None]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    async def write(self, write: Write) -> bytes | None:
        """Raises what `flush` raises. Cancelled, it may be written all the same."""
        written: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, written))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._run())
        return await written

    async def settle(self) -> None:
        """Returns when nothing is on its way."""
        if self._flusher is not None:
            await self._flusher

    async def _run(self) -> None:
        await asyncio.sleep(0)  # whoever else writes in this turn
        while self._waiting:
            together = self._taken()
            try:
                results = await self._flush([write for write, _ in together])
            except Exception as error:
                together += self._waiting  # they would fail alike
                self._waiting.clear()
                for _, written in together:
                    if not written.done():
                        written.set_exception(error)
                continue
            for (_, written), result in zip(together, results):
                if not written.done():
                    written.set_result(result)

    def _taken(self) -> list[tuple[Write, asyncio.Future[bytes | None]]]:
        taken = [self._waiting.popleft()]
        size = len(taken[0][0].content)
        while self._waiting and len(taken) < _MOST_RECORDS and size < _MOST_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1][0].content)
        return taken
