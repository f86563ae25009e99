"""Whether the store can be reached: told by every call, and asked for while nobody calls. Knows no store and no metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from cellserve.service.errors import StoreUnavailable

log = logging.getLogger(__name__)

_ASKED_SECONDS: Final = 1.0
_ASKED_AWAY_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 1.0


class StoreObserver(Protocol):
    """Called on the event loop; must not block."""

    def on_store_call(self, operation: str, records: int, seconds: float) -> None:
        """One that was answered. operation: load, write or list. records: that it was about."""

    def on_store_away(self, away: bool, seconds: float) -> None:
        """It can be reached, or cannot; seconds: that it has been away since this was told last."""

    def on_store_records(self, live: int) -> None:
        """So many records of live sequences are there."""


class NoStoreObserver:
    def on_store_call(self, operation: str, records: int, seconds: float) -> None:
        """Nobody measures it."""

    def on_store_away(self, away: bool, seconds: float) -> None:
        """Nobody counts it."""

    def on_store_records(self, live: int) -> None:
        """Nobody shows it."""


class StoreWatch:
    """name: of the store, as it may be shown. ask: asks it for the number of live records; raises StoreUnavailable."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[int]], observer: StoreObserver, clock: Callable[[], float]) -> None:
        self._name = name
        self._ask = ask
        self._observer = observer
        self._clock = clock
        self._away_seconds: float | None = None  # since when
        self._told_seconds = 0.0  # until when time away was told
        self._asking: asyncio.Task[None] | None = None
        self.reason: str | None = None
        """Why feeds are refused; None: they are not."""
        self.on_change: Callable[[], None] = _nobody_asks

    async def start(self) -> None:
        await self._ask_once()
        self._asking = asyncio.create_task(self._keep_asking())

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))

    def require_there(self) -> None:
        """Raises StoreUnavailable: it is known to be away, so that nobody need wait to learn it."""
        if self.reason is not None:
            raise self.refusal(self.reason)

    def refusal(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"live sequences cannot go on: the session store cannot be used ({reason}); requests that carry whole sequences "
            "are answered",
            retry_after_seconds=_RETRY_SECONDS,
        )

    def away(self, reason: str) -> None:
        """A call has failed."""
        if self._away_seconds is None:
            self._away_seconds = self._told_seconds = self._clock()
            log.error(
                "the session store %s cannot be used: %s; feeds of live sequences are refused until it can", self._name, reason
            )
            self.reason = reason
            self._observer.on_store_away(True, 0.0)
            self.on_change()

    def there(self) -> None:
        """A call was answered."""
        if self._away_seconds is not None:
            self._tell_time_away(away=False)
            log.warning("the session store %s is back, after %.1f s", self._name, self._clock() - self._away_seconds)
            self._away_seconds = self.reason = None
            self.on_change()

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(_ASKED_SECONDS if self.reason is None else _ASKED_AWAY_SECONDS)
            await self._ask_once()

    async def _ask_once(self) -> None:
        try:
            self._observer.on_store_records(await self._ask())
        except StoreUnavailable:
            self._tell_time_away(away=True)

    def _tell_time_away(self, *, away: bool) -> None:
        now = self._clock()
        self._observer.on_store_away(away, now - self._told_seconds)
        self._told_seconds = now


def _nobody_asks() -> None:
    """Until somebody does."""
