"""One live sequence, and the order in which requests have their turn with it. Small: there may be a hundred thousand.

A Session without a pin is only a place to queue: a start is under way, or the sequence has ended and others still wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from cellserve.service.sessions.storage.slab import SlabRow
from cellserve.service.sessions.tombstones import SessionKey

if TYPE_CHECKING:
    from cellserve.service.sessions.storage.parking import ParkedRow
    from cellserve.service.sessions.storage.pins import Pin
    from cellserve.service.sessions.stores.copy import StoredCopy


class Session:
    """pin: the version it stays on. row: its state in memory; parked: its state on disk; one of the two while it has a pin.

    position: time steps consumed. life: its number among all that began here (epochs.py). former: its epochs on servers before
    this one. copy: what is known of its record, where replicas share a store. confirmed: False after a crash until a client has
    shown that it knows where the sequence stands now.
    """

    __slots__ = (
        "busy",
        "confirmed",
        "copy",
        "created_seconds",
        "former",
        "key",
        "life",
        "parked",
        "pin",
        "position",
        "row",
        "used_seconds",
        "waiting",
    )

    def __init__(self, key: SessionKey) -> None:
        self.key = key
        self.pin: Pin | None = None
        self.row: SlabRow | None = None
        self.parked: ParkedRow | None = None
        self.position = 0
        self.created_seconds = 0.0
        self.used_seconds = 0.0
        self.life = 0
        self.former: tuple[str, ...] = ()
        self.confirmed = True
        self.copy: StoredCopy | None = None
        self.busy = False
        self.waiting: deque[asyncio.Future[None]] | None = None

    async def take_turn(self, give: Callable[[Session], None]) -> None:
        """Returns when all who came before have given theirs. Cancelled meanwhile, it leaves the queue as it was.

        give: what is called with a turn that came at the very moment of the cancel.
        """
        if not self.busy:
            self.busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                give(self)
            raise

    def give_turn(self) -> None:
        """To the one who has waited longest and still does."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.waiting = None
        self.busy = False
