"""The way in to live sequences: fed, listed, looked at, copied, moved, closed. Lives on the event loop.

A sequence is a state in host memory and, for each feed, a request to the engine like any other: between feeds it holds nothing
of the engine. Knows no protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cellserve.service.errors import SequenceExists, SequenceUnknown, ServiceError, WrongWeights
from cellserve.service.registry.lease import Lease
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.durability.durability import Durability
from cellserve.service.sessions.durability.revival import Revival
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.feeding import Feeding, Run, require_causal
from cellserve.service.sessions.ids import check_id, new_id
from cellserve.service.sessions.info import SessionInfo
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import NoObserver, SessionCount, SessionObserver
from cellserve.service.sessions.replies import Replies
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.states import States
from cellserve.service.sessions.storage import snapshot as snapshots
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.stores.own import OwnTruth
from cellserve.service.sessions.stores.shared import SharedTruth
from cellserve.service.sessions.stores.store import Store
from cellserve.service.sessions.stores.truth import Truth
from cellserve.service.sessions.tombstones import SessionKey
from cellserve.service.sessions.versions import Versions

Result = TypeVar("Result")

_MAX_SNAPSHOT_BYTES = 64 << 20
_REAPED_TOGETHER_SECONDS = 0.5  # what is due within so short a time is ended in one go


class Sessions:
    """run: gives work to the engine, as Execution.run. clock, wall_clock: seconds, of this process and since 1970.

    store: that replicas share (settings.shared); None: what is here is all there is.
    """

    def __init__(
        self,
        run: Run,
        versions: Versions,
        settings: SessionSettings,
        observer: SessionObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        store: Store | None = None,
    ) -> None:
        self._versions = versions
        self._observer = observer or NoObserver()
        self._clock = clock
        self._live = LiveSessions(settings, versions.model_settings, self._observer, clock)
        self._capacity = Capacity(self._live, settings, self._observer)
        self._states = States(self._capacity, self._observer)
        self._drain_seconds = settings.drain_seconds
        self._replica = settings.replica
        self._truth: Truth
        if store is None:
            replies = Replies(settings.reply_bytes, settings.one_reply_bytes)
            self._truth = OwnTruth(self._live, replies, self._observer)
        else:
            self._truth = SharedTruth(store, versions, self._live, self._capacity, settings, self._observer, clock, wall_clock)
        self._feeding = Feeding(run, versions, self._live, self._states, self._capacity, self._truth, self._observer)
        self._durability = Durability(settings, self._live, self._capacity, clock, wall_clock)
        self._live.on_change = self._durability.on_change
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_seconds = 0.0
        self._stopped = False

    # --- life ---

    async def start(self) -> None:
        """Restores what was written before. What cannot be restored is told in the log and stops nothing."""
        kept = await self._durability.load()
        revival = Revival(self._versions, self._live, self._capacity, self._observer, self._clock)
        await revival.revive(kept.segments, clean=kept.clean, written_unix_seconds=kept.written_unix_seconds)
        await self._durability.began()
        await self._truth.start()
        self._set_timer()

    async def stop(self) -> None:
        """Writes every live sequence, then ends. No feed may be under way."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        await self._durability.stop()
        await self._truth.stop()
        for session in self._live:
            self._live.end(session, None)
        self._capacity.close()

    def on_version(self, status: VersionStatus) -> None:
        """A change in the catalog: the sequences of a version on its way out have the drain time to end."""
        if status.state is VersionState.UNLOADING:
            self._truth.on_retired(status.key, self._clock() + self._drain_seconds)
            self._live.retire(status.key)
            self._set_timer()
        elif status.state is VersionState.READY:
            self._truth.on_kept(status.key)
            self._live.keep(status.key)

    # --- requests ---

    async def feed(self, model: str, session_id: str, feed: Feed) -> FeedReply:
        """Applies one feed, after all that came before it for the same id. An empty id is given one by its start.

        Raises InvalidInput, UnknownModel, NotCausal, Overloaded, the Sequence… errors, VersionRetired, and what the check and the
        engine raise; the sequence is then as it was.
        """
        began = self._clock()
        key = SessionKey(model, check_id(session_id) if session_id or not feed.start else new_id())
        session = self._live.find(key)
        if session is None and not feed.start and not self._truth.shared:
            gone = self._feeding.repeated(Session(key), feed)  # the answer to its end, perhaps
            if gone is not None:
                return gone
            raise await self._missing(key, feed.epoch)
        session = session or self._live.place(key)
        await self._live.take(session)
        try:
            reply = await self._truth.hold(session, lambda: self._applied(session, feed), look=False if feed.start else None)
        finally:
            self._live.give(session)
        if feed.start or self._timer is None:
            self._set_timer()
        if reply.delivery is not None and not reply.repeated:
            self._observer.on_session_step(reply.version.key, self._clock() - began)
        return reply

    async def snapshot(self, model: str, session_id: str) -> bytes:
        """The state between two feeds, as bytes for `restore`, here or elsewhere. Raises as `inspect`."""

        async def taken(session: Session, pin: Pin) -> bytes:
            return snapshots.encode(pin.version, session.position, await self._states.look(session))

        return await self._with_existing(model, session_id, taken)

    async def restore(self, model: str, snapshot: bytes, session_id: str | None, *, restart: bool = False) -> SessionInfo:
        """A new sequence where a snapshot was taken. restart: in the place of a live one of that id.

        Raises InvalidInput, NotCausal, SequenceExists, WrongWeights, Overloaded, and what the catalog raises.
        """
        content = snapshots.decode(snapshot, _MAX_SNAPSHOT_BYTES)
        key = SessionKey(model, check_id(session_id) if session_id else new_id())
        pin = self._live.pins.hold(await self._acquire_same_weights(model, content.facts))
        try:
            require_causal(pin.version)
            state = content.row(pin.version.state_layout)
            info = await self._begin(key, pin, state, content.facts.position, restart=restart)
            self._observer.on_session_event(pin.key, "restored")
            self._set_timer()
            return info
        finally:
            self._live.pins.drop(pin)

    async def fork(self, model: str, session_id: str, new_session_id: str | None) -> SessionInfo:
        """A second sequence that stands where the first one does, on the same version. Raises as `restore`."""
        key = SessionKey(model, check_id(new_session_id) if new_session_id else new_id())

        async def copied(session: Session, pin: Pin) -> tuple[Pin, npt.NDArray[np.float32], int]:
            state = await self._states.look(session)
            return self._live.pins.share(pin), state, session.position

        pin, state, position = await self._with_existing(model, session_id, copied)
        try:
            info = await self._begin(key, pin, state, position, restart=False)
            self._observer.on_session_event(pin.key, "started")
            return info
        finally:
            self._live.pins.drop(pin)

    async def close(self, model: str, session_id: str) -> None:
        """Ends it after the feeds that came before. Raises as `inspect`."""

        async def ended(session: Session, pin: Pin) -> None:
            await self._truth.end(session)

        await self._with_existing(model, session_id, ended)

    async def inventory(self, model: str | None = None) -> list[SessionInfo]:
        """Every live sequence, on whichever replica, as `list` has them. Raises StoreUnavailable."""
        return [info for info in await self._truth.listed(self.list()) if model is None or info.model == model]

    async def inspect(self, model: str, session_id: str) -> SessionInfo:
        """As `get`, wherever it is. Raises StoreUnavailable too."""
        if not self._truth.shared:
            return self.get(model, session_id)

        async def seen(session: Session, pin: Pin) -> SessionInfo:
            return self._info(session)

        return await self._with_existing(model, session_id, seen)

    def list(self, model: str | None = None) -> list[SessionInfo]:
        """Every live sequence that is here, by model and then by age, the oldest first."""
        self._live.reap()
        wanted = [session for session in self._live if model is None or session.key.model == model]
        return [self._info(session) for session in sorted(wanted, key=lambda s: (s.key.model, s.created_seconds))]

    def get(self, model: str, session_id: str) -> SessionInfo:
        """Raises InvalidInput, SequenceUnknown, SequenceExpired, SequenceEvicted, VersionRetired."""
        key = SessionKey(model, check_id(session_id))
        session = self._live.find(key)
        if session is None or session.pin is None:
            raise self._gone(key, None)
        return self._info(session)

    def idle_seconds(self, model: str) -> float:
        """After which a sequence of the model that is fed nothing expires; 0: never."""
        return self._live.idle_seconds(model)

    def counts(self) -> Sequence[SessionCount]:
        """How many are live on each version. Safe on any thread."""
        return self._live.counts()

    # --- the work behind them ---

    async def _applied(self, session: Session, feed: Feed) -> FeedReply:
        """In the turn of `session`."""
        if feed.start:
            return await self._feeding.start(session, feed)
        if session.pin is not None:
            return await self._feeding.go_on(session, session.pin, feed)
        gone = self._feeding.repeated(session, feed)
        if gone is None:
            raise await self._missing(session.key, feed.epoch)
        return gone

    @asynccontextmanager
    async def _turn(self, session: Session) -> AsyncIterator[Session]:
        await self._live.take(session)
        try:
            yield session
        finally:
            self._live.give(session)

    async def _with_existing(self, model: str, session_id: str, act: Callable[[Session, Pin], Awaitable[Result]]) -> Result:
        """In the turn of a live sequence, as it is now. Raises as `inspect`."""
        key = SessionKey(model, check_id(session_id))
        session = self._live.place(key) if self._truth.shared else self._live.find(key)
        if session is None:
            raise await self._missing(key, None)

        async def acted(session: Session) -> Result:
            if session.pin is None:
                raise await self._missing(key, None)
            return await act(session, session.pin)

        async with self._turn(session):
            return await self._truth.hold(session, lambda: acted(session), look=True)

    async def _begin(
        self, key: SessionKey, pin: Pin, state: npt.NDArray[np.float32], position: int, *, restart: bool
    ) -> SessionInfo:
        async def begun(session: Session) -> SessionInfo:
            self._require_free(session, restart)
            async with self._capacity.place(pin):
                await self._truth.begin(session, pin, state, position, self._live.epochs.new_life())
            return self._info(session)

        async with self._turn(self._live.place(key)) as session:
            return await self._truth.hold(session, lambda: begun(session), look=False)

    def _require_free(self, session: Session, restart: bool) -> None:
        if session.pin is not None and not restart:
            raise SequenceExists(f"{session.key} is live; end it first, or take another id", field="sequence_id")

    async def _acquire_same_weights(self, model: str, facts: snapshots.SnapshotFacts) -> Lease:
        """Of the version that the snapshot names, else of the one that answers now, if its weights are the snapshot's."""
        lease = None
        for version in (str(facts.version), ""):
            try:
                lease = await self._versions.acquire(model, version)
            except ServiceError:
                if not version:
                    raise
                continue
            if lease.version.manifest.weights_digest == facts.weights_digest:
                return lease
            lease.release()
        here = "" if lease is None else f", and {lease.version.key} has {lease.version.manifest.weights_digest}"
        raise WrongWeights(
            f"the snapshot is of {facts.model}/{facts.version} with the weights {facts.weights_digest}{here}; "
            "a state means something on its own weights only",
            field="snapshot",
        )

    async def _missing(self, key: SessionKey, epoch: str | None) -> ServiceError:
        """Why `key` cannot be fed. Raises UnknownModel where that is why."""
        error = self._gone(key, epoch)
        if isinstance(error, SequenceUnknown):
            (await self._versions.acquire(key.model, "")).release()
        return error

    def _gone(self, key: SessionKey, epoch: str | None) -> ServiceError:
        known = self._truth.missing(key, epoch)
        if known is not None:
            return known
        return SequenceUnknown(f"{key} is not live: it was never started, or has ended", field="sequence_id")

    def _info(self, session: Session) -> SessionInfo:
        now = self._clock()
        if session.pin is None:
            raise self._gone(session.key, None)
        return SessionInfo(
            model=session.key.model,
            session_id=session.key.session_id,
            version=session.pin.key.version,
            position=session.position,
            epoch=self._live.epoch(session),
            age_seconds=now - session.created_seconds,
            idle_seconds=0.0 if session.busy else now - session.used_seconds,
            bytes=session.pin.state_bytes,
            state="active" if session.busy else "idle" if session.parked is None else "parked",
            replica=self._replica,
        )

    def _set_timer(self) -> None:
        """One timer, for what is due first."""
        due = self._live.next_due_seconds()
        if due is None or self._stopped or (self._timer is not None and self._timer_due_seconds <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_seconds = due
        delay = max(due - self._clock(), _REAPED_TOGETHER_SECONDS)
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._live.reap()
        self._set_timer()
