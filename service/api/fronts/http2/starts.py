"""In which order calls begin whose message has come, and how many in a turn of the event loop while more come than are read.

A hundred messages may have come in one turn, and their calls, begun together, would keep the loop until all of them have: nobody
who comes meanwhile would be refused, however little that takes. Knows no connections and no methods.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

_IN_A_TURN: Final = 32  # five to ten milliseconds


class Startable(Protocol):
    def start(self) -> None:
        """Nothing happens if it is over."""


class Starts:
    """Of all connections of a front. On the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[float, Startable]] = deque()  # since when

    def add(self, call: Startable) -> None:
        """Its message has come: it begins when those before it have."""
        if not self._waiting:
            self._loop.call_soon(self._turn)
        self._waiting.append((self._loop.time(), call))

    def waited_seconds(self) -> float:
        """How long the one that is next has waited."""
        return self._loop.time() - self._waiting[0][0] if self._waiting else 0.0

    def _turn(self) -> None:
        for _ in range(min(_IN_A_TURN, len(self._waiting))):
            _, call = self._waiting.popleft()
            call.start()
        if self._waiting:
            self._loop.call_soon(self._turn)
