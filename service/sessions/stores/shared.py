"""The truth where replicas share a store: the record in the store. What is here is a copy of it.

A feed of a sequence whose copy is here asks the store for nothing: it is computed, and then written for the very record that
the copy is of. Where the store has another one by then, the copy is thrown away, the record taken up, and the feed decided anew.
So no two replicas can both apply one position. Lives on the event loop; which store it is it does not know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import (
    InvalidInput,
    SequenceExists,
    SequenceLost,
    SequencePosition,
    ServiceError,
    StoreUnavailable,
    UnknownImplementation,
    UnsupportedImplementation,
)
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.info import SessionInfo
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.replies import fingerprint
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores import reply as replies
from cellserve.service.sessions.stores.copy import StoredCopy
from cellserve.service.sessions.stores.inventory import Inventory
from cellserve.service.sessions.stores.own import lost
from cellserve.service.sessions.stores.record import DamagedRecord
from cellserve.service.sessions.stores.store import Store
from cellserve.service.sessions.stores.taking_up import TakingUp
from cellserve.service.sessions.stores.truth import Applied, Conflict
from cellserve.service.sessions.stores.writing import Writing, copy_of
from cellserve.service.sessions.tombstones import SessionKey
from cellserve.service.sessions.versions import Versions

log = logging.getLogger(__name__)

_LOOKS: Final = 256  # in one turn; each but the first means that another replica has moved on meanwhile
_RETRY_SECONDS: Final = 0.1
_WRITTEN_AT_ONCE: Final = 1024
_REFUSALS: Final = (  # may rest on a copy that is old
    InvalidInput,
    SequenceExists,
    SequenceLost,
    SequencePosition,
    UnknownImplementation,
    UnsupportedImplementation,
)

Result = TypeVar("Result")


class SharedTruth:
    """clock, wall_clock: seconds, of this process and since 1970."""

    shared = True

    def __init__(
        self,
        store: Store,
        versions: Versions,
        live: LiveSessions,
        capacity: Capacity,
        settings: SessionSettings,
        observer: SessionObserver,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._live = live
        self._observer = observer
        self._clock = clock
        self._wall_clock = wall_clock
        self._every = settings.write_every_feeds
        self._writing = Writing(store, live, settings, clock, wall_clock)
        self._taking_up = TakingUp(self._writing, store, versions, live, capacity, settings, observer, clock, wall_clock)
        self._inventory = Inventory(store, live, wall_clock)

    # --- deciding ---

    async def hold(self, session: Session, act: Callable[[], Awaitable[Result]], *, look: bool | None = None) -> Result:
        copy = copy_of(session)
        copy.seen = False
        looked = (session.pin is None if look is None else look) or copy.unsure
        if looked:
            await self._look(session)
        for _ in range(_LOOKS):
            try:
                done = await act()
            except Conflict:
                self._observer.on_session_event(None, "conflict")
            except _REFUSALS:
                if looked:
                    raise
            else:
                if session.copy is None or session.copy.seen:
                    return done
            await self._look(session)
            looked = True
        raise StoreUnavailable(
            f"{session.key} was changed by others {_LOOKS} times while this was computed", retry_after_seconds=_RETRY_SECONDS
        )

    def repeated(self, session: Session, feed: Feed) -> FeedReply | None:
        copy = session.copy
        if copy is None or copy.last is None or copy.version is None:
            return None
        last = copy.last
        by_id = feed.request_id is not None and feed.request_id == last.request_id
        if not (by_id or feed.position == last.position) or (feed.start, feed.end) != (last.start, last.end):
            return None
        if fingerprint(feed.check(copy.version)) != last.fingerprint:
            return None
        try:
            if last.reply is not None:
                delivery = replies.decode(last.reply)
                return FeedReply(session.key.session_id, copy.position, copy.epoch, copy.version, delivery, repeated=True)
        except DamagedRecord as error:
            log.error("the last answer of %s is not given again: %s", session.key, error)
        if by_id:
            raise SequencePosition(
                f"this feed of {session.key} was applied, and its answer, too large to be kept, did not come through; it stands "
                f"at {copy.position}",
                field="position",
                metadata={"position": str(copy.position), "epoch": copy.epoch},
            )
        return None

    def missing(self, key: SessionKey, epoch: str | None) -> ServiceError | None:
        known = self._live.tombstones.error(key)
        if known is not None or epoch is None:
            return known
        self._observer.on_session_event(None, "lost")
        return lost(f"the session store has nothing of {key} any more", self._live.epochs.server)

    # --- changing ---

    async def begin(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32], position: int, life: int, applied: Applied | None = None
    ) -> None:
        copy = copy_of(session)
        begun = StoredCopy(copy.stamp)
        begun.epoch = self._live.epochs.of(life)
        begun.created_seconds = self._wall_clock()
        begun.identity = self._writing.identity(session.key, pin.version, begun.epoch, ())
        self._writing.remember(begun, applied)
        record = self._writing.live_record(begun, pin, position, pin.resting(state))
        await self._writing.write(session, record, begins=True, accepts=True)
        self._live.end(session, None)
        begun.stamp, begun.written_seconds, begun.seen = copy.stamp, self._clock(), True
        session.copy = begun
        self._live.begin(session, pin, state, position, life)

    async def advance(
        self, session: Session, pin: Pin, state: npt.NDArray[np.float32] | None, steps: int, applied: Applied
    ) -> None:
        copy = copy_of(session)
        before = copy.last, copy.version, copy.position
        self._writing.remember(copy, applied)
        if self._writing.is_due(session, copy):
            resting = self._state(session, pin) if state is None else pin.resting(state)
            try:
                await self._writing.write(session, self._writing.live_record(copy, pin, session.position + steps, resting))
            except BaseException:
                copy.last, copy.version, copy.position = before
                raise
            copy.unwritten, copy.written_seconds = 0, self._clock()
        else:
            copy.unwritten += 1
        copy.seen = True
        self._live.advance(session, state, steps)

    async def end(self, session: Session, applied: Applied | None = None) -> None:
        pin, copy = session.pin, copy_of(session)
        if pin is None:
            raise RuntimeError(f"{session.key} is not live")
        ended = StoredCopy()
        ended.epoch, ended.created_seconds = copy.epoch, copy.created_seconds
        position = session.position if applied is None else applied.reply.position
        await self._write_end(session, ended, pin.version, position, applied, begins=False)
        self._live.end(session, "ended")

    async def replace(self, session: Session, applied: Applied) -> None:
        ended = StoredCopy()
        ended.epoch, ended.created_seconds = applied.reply.epoch, self._wall_clock()
        await self._write_end(session, ended, applied.reply.version, applied.reply.position, applied, begins=True)
        self._live.end(session, None)

    async def _write_end(
        self,
        session: Session,
        ended: StoredCopy,
        version: LoadedVersion,
        position: int,
        applied: Applied | None,
        *,
        begins: bool,
    ) -> None:
        self._writing.remember(ended, applied)
        record = self._writing.ended_record(session.key, ended, version, position)
        await self._writing.write(session, record, begins=begins, accepts=begins)
        ended.stamp, ended.seen = copy_of(session).stamp, True
        session.copy = ended
        self._live.tombstones.remove(session.key)

    # --- versions ---

    def on_retired(self, key: VersionKey, ends_seconds: float) -> None:
        self._taking_up.retire(key, ends_seconds)

    def on_kept(self, key: VersionKey) -> None:
        self._taking_up.keep(key)

    # --- all of them ---

    async def listed(self, infos: Sequence[SessionInfo]) -> list[SessionInfo]:
        return await self._inventory.listed(infos)

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        """What was fed and not written is written: whoever takes a sequence up then knows that nothing is missing."""
        if self._every > 1:
            waiting = iter(list(self._live))
            while together := list(islice(waiting, _WRITTEN_AT_ONCE)):
                outcomes = await asyncio.gather(*(self._write_whole(each) for each in together), return_exceptions=True)
                failed = [each for each in outcomes if each is not None and not isinstance(each, Conflict)]  # another has it
                if failed:
                    log.error("the last feeds of live sequences could not be written to the session store: %s", failed[0])
        await self._store.stop()

    # --- the work behind them ---

    async def _look(self, session: Session) -> None:
        """Makes the copy what the store holds."""
        for _ in range(_LOOKS):
            try:
                await self._taking_up.look(session)
                return
            except Conflict:
                self._observer.on_session_event(None, "conflict")
        raise StoreUnavailable(f"{session.key} is being changed by others all the time", retry_after_seconds=_RETRY_SECONDS)

    async def _write_whole(self, session: Session) -> None:
        """As it is here, with nothing behind."""
        pin, copy = session.pin, session.copy
        if pin is not None and copy is not None:
            record = self._writing.live_record(copy, pin, session.position, self._state(session, pin))
            await self._writing.write(session, record._replace(behind=False, confirmed=session.confirmed))

    @staticmethod
    def _state(session: Session, pin: Pin) -> npt.NDArray[np.float32]:
        if session.row is None:
            raise RuntimeError(f"{session.key} has no state here")
        return pin.slab.read(session.row)
