"""Takes up what the store holds of a sequence: its state as a copy here, or why it cannot go on.

A record is believed only if it is of this sequence, of the very weights that it names, of the right size and finite. One of
which more may have been fed than it says (it was written before the store restarted, or is behind by design) is taken up under a
new epoch: its client is told where it stands before it goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError, UnknownModel, UnknownVersion
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores.copy import StoredCopy
from cellserve.service.sessions.stores.record import DamagedRecord, Identity, Kind, Record, decode, run_of, stamp_of
from cellserve.service.sessions.stores.store import Found, Store
from cellserve.service.sessions.stores.writing import Writing
from cellserve.service.sessions.tombstones import Ending, SessionKey
from cellserve.service.sessions.versions import Versions

log = logging.getLogger(__name__)

_FORMER_EPOCHS: Final = 8
_ENDINGS: Final = {Kind.EVICTED: Ending.EVICTED, Kind.RETIRED: Ending.RETIRED}


class TakingUp:
    """clock, wall_clock: as in SharedTruth."""

    def __init__(
        self,
        writing: Writing,
        store: Store,
        versions: Versions,
        live: LiveSessions,
        capacity: Capacity,
        settings: SessionSettings,
        observer: SessionObserver,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._writing = writing
        self._store = store
        self._versions = versions
        self._live = live
        self._capacity = capacity
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._wall_clock = wall_clock
        self._ends: dict[VersionKey, float] = {}  # when sequences of versions that were replaced must be over

    def retire(self, key: VersionKey, ends_seconds: float) -> None:
        self._ends.setdefault(key, ends_seconds)

    def keep(self, key: VersionKey) -> None:
        """Unless it was loaded only for the sequences that are left on it."""
        if self._versions.is_wanted(key):
            self._ends.pop(key, None)

    async def look(self, session: Session) -> None:
        """In the turn of `session`. Raises Conflict (another replica writes), StoreUnavailable, and what the catalog raises."""
        found = await self._store.load(session.key)
        copy, content = session.copy, found.content
        if content is not None and copy is not None and self._is_copy(session, copy, found):
            copy.seen, copy.unsure = True, False
            return
        unwritten = copy is not None and copy.unwritten > 0
        self._live.end(session, None)
        self._live.tombstones.remove(session.key)
        copy = session.copy = StoredCopy()
        copy.seen = True
        if content is None:
            return
        copy.stamp = stamp_of(content)
        try:
            record, identity = decode(content)
            self._require_of(session.key, identity)
        except DamagedRecord as error:
            self._refuse(session, error)
            return
        copy.epoch, copy.position, copy.last = identity.epoch, record.position, record.last
        copy.created_seconds = record.created_seconds
        if record.kind is not Kind.LIVE:
            if record.kind in _ENDINGS:
                self._live.tombstones.put(session.key, _ENDINGS[record.kind])
            await self._know_version(session.key.model, record, copy)
        elif found.seconds is not None and found.seconds <= 0:
            limit = self._live.max_age_seconds(session.key.model)
            old = limit and record.created_seconds + limit <= self._wall_clock()
            self._live.tombstones.put(session.key, Ending.AGE if old else Ending.IDLE)
        else:
            await self._take_up(session, copy, record, identity, run_of(content) != found.run or unwritten)

    def _is_copy(self, session: Session, copy: StoredCopy, found: Found) -> bool:
        """Whether what is here is of this very record, which is sure to be the last, and still counts."""
        if session.pin is None or found.content is None or (found.seconds is not None and found.seconds <= 0):
            return False
        return stamp_of(found.content) == copy.stamp and run_of(copy.stamp) == found.run

    async def _take_up(self, session: Session, copy: StoredCopy, record: Record, identity: Identity, may_lack: bool) -> None:
        key = VersionKey(session.key.model, record.version)
        ends_seconds = self._ends.get(key)
        if ends_seconds is not None and ends_seconds <= self._clock():
            await self._writing.write(session, record._replace(kind=Kind.RETIRED), accepts=True)
            self._live.tombstones.put(session.key, Ending.RETIRED)
            await self._know_version(session.key.model, record, copy)
            return
        try:
            lease = await self._versions.acquire_pinned(*key)
        except (UnknownModel, UnknownVersion):
            self._live.tombstones.put(session.key, Ending.CHANGED)
            return
        pin = self._live.pins.hold(lease)
        try:
            if pin.version.manifest.weights_digest != identity.weights_digest:
                log.error("%s is not taken up: it is of other weights than %s has here", session.key, key)
                self._observer.on_session_event(key, "refused")
                self._live.tombstones.put(session.key, Ending.CHANGED)
                return
            if len(record.state) != pin.slab.width:
                self._refuse(session, DamagedRecord(f"its state has {len(record.state)} numbers, expected {pin.slab.width}"))
                return
            if ends_seconds is not None:
                pin.ends_seconds = ends_seconds
            async with self._capacity.place(pin):
                self._live.begin(session, pin, record.state, record.position, self._live.epochs.new_life())
        finally:
            self._live.pins.drop(pin)
        copy.version, copy.written_seconds = pin.version, self._clock()
        session.created_seconds = self._clock() - max(0.0, self._wall_clock() - record.created_seconds)
        session.confirmed, session.former = record.confirmed, identity.former
        if may_lack or record.behind:
            await self._tell_anew(session, pin, copy, record)
        else:
            copy.identity = self._writing.identity(session.key, pin.version, copy.epoch, session.former)
        self._observer.on_session_event(key, "loaded")

    async def _tell_anew(self, session: Session, pin: Pin, copy: StoredCopy, record: Record) -> None:
        """Under a new epoch, so that who feeds on has heard where it stands. The others hear of it from the record."""
        session.confirmed = False
        session.former = (*session.former[-_FORMER_EPOCHS + 1 :], copy.epoch)
        copy.epoch = self._live.epochs.of(session.life)
        copy.identity = self._writing.identity(session.key, pin.version, copy.epoch, session.former)
        anew = record._replace(confirmed=False, identity=copy.identity)
        await self._writing.write(session, anew, accepts=True)

    async def _know_version(self, model: str, record: Record, copy: StoredCopy) -> None:
        """So that the last request, which may come again, can be told from another."""
        if record.last is None:
            return
        try:
            lease = await self._versions.acquire_pinned(model, record.version)
        except ServiceError as error:
            log.info("the last answer of a sequence of %s/%d cannot be given again: %s", model, record.version, error)
            return
        copy.version = lease.version
        lease.release()

    @staticmethod
    def _require_of(key: SessionKey, identity: Identity) -> None:
        if (identity.model, identity.session_id) != key:
            raise DamagedRecord("it is of another sequence")

    def _refuse(self, session: Session, error: DamagedRecord) -> None:
        log.error("what the session store holds under %s is refused: %s", session.key, error)
        self._observer.on_session_event(None, "refused")
        self._live.tombstones.put(session.key, Ending.DAMAGED)
