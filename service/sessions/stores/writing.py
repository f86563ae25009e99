"""Makes records of what was fed, and writes them in the place of those that the copies here are of. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.replies import fingerprint
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores import reply as replies
from cellserve.service.sessions.stores.copy import StoredCopy
from cellserve.service.sessions.stores.record import Identity, Kind, LastFeed, Record, encode, tokens
from cellserve.service.sessions.stores.store import Store, Write
from cellserve.service.sessions.stores.truth import Applied, Conflict
from cellserve.service.sessions.tombstones import SessionKey

_ENDED_SECONDS: Final = 60.0  # how long the last answer of an ended sequence is kept for whoever asks again


class Writing:
    """clock, wall_clock: as in SharedTruth."""

    def __init__(
        self,
        store: Store,
        live: LiveSessions,
        settings: SessionSettings,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._live = live
        self._settings = settings
        self._clock = clock
        self._wall_clock = wall_clock
        self._token = tokens()

    async def write(self, session: Session, record: Record, *, begins: bool = False, accepts: bool = False) -> None:
        """Raises Conflict: another record is there. However else it fails or is cancelled, the copy is unsure."""
        copy = copy_of(session)
        content = encode(record, self._token())
        seconds = self._seconds(session.key.model, record)
        copy.unsure = True
        stamp = await self._store.write(Write(session.key, content, copy.stamp, seconds, begins, accepts))
        copy.unsure = False
        if stamp is None:
            raise Conflict
        copy.stamp = stamp

    def is_due(self, session: Session, copy: StoredCopy) -> bool:
        """Every so many feeds, and in time before the record would expire."""
        idle = self._live.idle_seconds(session.key.model)
        old = bool(idle) and self._clock() - copy.written_seconds > idle / 4
        return copy.unwritten + 1 >= self._settings.write_every_feeds or old or not session.confirmed

    def remember(self, copy: StoredCopy, applied: Applied | None) -> None:
        """Who applied it is known by an id or a position; whoever gives neither cannot ask for the answer again."""
        copy.last = copy.version = None
        if applied is None or (applied.feed.request_id is None and applied.feed.position is None):
            return
        feed, checked, position, reply = applied
        answer: bytes | None = replies.encode(reply.delivery)
        if answer is not None and len(answer) > self._settings.one_reply_bytes:
            answer = None
        copy.last = LastFeed(feed.request_id or "", position, feed.start, feed.end, fingerprint(checked), answer)
        copy.version, copy.position = reply.version, reply.position

    def live_record(self, copy: StoredCopy, pin: Pin, position: int, state: npt.NDArray[np.float32]) -> Record:
        """state: [width], as the next feed begins with it."""
        return Record(
            kind=Kind.LIVE,
            position=position,
            version=pin.key.version,
            created_seconds=copy.created_seconds,
            confirmed=True,
            behind=self._settings.write_every_feeds > 1,
            identity=copy.identity,
            last=copy.last,
            state=state,
        )

    def ended_record(self, key: SessionKey, copy: StoredCopy, version: LoadedVersion, position: int) -> Record:
        identity = self.identity(key, version, copy.epoch, ())
        nothing = np.zeros(0, np.float32)
        return Record(Kind.ENDED, position, version.key.version, copy.created_seconds, True, False, identity, copy.last, nothing)

    def identity(self, key: SessionKey, version: LoadedVersion, epoch: str, former: tuple[str, ...]) -> bytes:
        return Identity(
            model=key.model,
            session_id=key.session_id,
            weights_digest=version.manifest.weights_digest,
            epoch=epoch,
            former=former,
            replica=self._settings.replica,
        ).json_bytes

    def _seconds(self, model: str, record: Record) -> float | None:
        """How long the record counts if nothing more is fed."""
        if record.kind is not Kind.LIVE:
            return _ENDED_SECONDS
        idle = self._live.idle_seconds(model) or None
        limit = self._live.max_age_seconds(model)
        if not limit:
            return idle
        left = max(0.0, record.created_seconds + limit - self._wall_clock())
        return left if idle is None else min(idle, left)


def copy_of(session: Session) -> StoredCopy:
    """Made where nothing is known of a record yet."""
    if session.copy is None:
        session.copy = StoredCopy()
    return session.copy
