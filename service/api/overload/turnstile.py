"""So many requests of all streams together begin in each turn of the event loop, in the order in which they came.

Each stream would begin one in every turn, and a call, which takes several turns, would wait for as many requests in each as
there are streams. Knows no requests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_IN_A_TURN: Final = 8


class Turnstile:
    """On the event loop."""

    def __init__(self) -> None:
        self._begun = 0  # in this turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turning = False

    async def turn(self) -> None:
        """Returns when one more may begin."""
        if self._begun < _IN_A_TURN and not self._waiting:
            self._begin()
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        await place

    def _begin(self) -> None:
        self._begun += 1
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._begun = 0
        self._turning = False
        while self._waiting and self._begun < _IN_A_TURN:
            place = self._waiting.popleft()
            if not place.done():  # by the end of its stream
                place.set_result(None)
                self._begin()
