"""The truth where there is one server: what its own memory holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import SequenceLost, ServiceError
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.info import SessionInfo
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.replies import Replies
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores.truth import Applied
from cellserve.service.sessions.tombstones import SessionKey

Result = TypeVar("Result")


class OwnTruth:
    shared = False

    def __init__(self, live: LiveSessions, replies: Replies, observer: SessionObserver) -> None:
        self._live = live
        self._replies = replies
        self._observer = observer

    async def hold(self, session: Session, act: Callable[[], Awaitable[Result]], *, look: bool | None = None) -> Result:
        return await act()

    def repeated(self, session: Session, feed: Feed) -> FeedReply | None:
        return self._replies.match(session.key, feed)

    async def begin(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32], position: int, life: int, applied: Applied | None = None
    ) -> None:
        self._live.end(session, None)
        self._live.begin(session, pin, state, position, life)
        self._remember(session.key, applied)

    async def advance(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32] | None, steps: int, applied: Applied
    ) -> None:
        self._live.advance(session, state, steps)
        self._remember(session.key, applied)

    async def end(self, session: Session, applied: Applied | None = None) -> None:
        self._live.end(session, "ended")
        if applied is not None:
            self._replies.put(session.key, *applied)

    async def replace(self, session: Session, applied: Applied) -> None:
        self._live.end(session, None)
        self._live.tombstones.remove(session.key)
        self._live.on_change(session.key)
        self._replies.put(session.key, *applied)

    def missing(self, key: SessionKey, epoch: str | None) -> ServiceError | None:
        known = self._live.tombstones.error(key)
        if known is not None or epoch is None or self._live.epochs.is_ours(epoch):
            return known
        self._observer.on_session_event(None, "lost")
        return lost(f"the server has restarted since, and {key} was not restored", self._live.epochs.server)

    def on_retired(self, key: VersionKey, ends_seconds: float) -> None:
        """Its sequences here are all there are."""

    def on_kept(self, key: VersionKey) -> None:
        """As before."""

    async def listed(self, infos: Sequence[SessionInfo]) -> list[SessionInfo]:
        return list(infos)

    async def start(self) -> None:
        """Durability restores them."""

    async def stop(self) -> None:
        """Durability writes them."""

    def _remember(self, key: SessionKey, applied: Applied | None) -> None:
        if applied is None:
            self._replies.forget(key)
        else:
            self._replies.put(key, *applied)


def lost(sentence: str, epoch: str) -> SequenceLost:
    return SequenceLost(f"{sentence}; start it again", field="epoch", metadata={"epoch": epoch})
