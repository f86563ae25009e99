"""Writes live sequences to disk, while the server runs and when it stops, and restores them when it starts.

While it runs, only what changed since the last write is added, until so much is out of date that all is written anew. States
are copied on the event loop a slice at a time; encoding and the disk are for threads. A write that fails is tried again with
the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.durability.segment import Segment, SegmentVersion, SessionRecord, columns_of
from cellserve.service.sessions.durability.store import SegmentEntry, SessionStore
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.session import Session
from cellserve.service.sessions.settings import SessionSettings
from cellserve.service.sessions.storage.parking import ParkedRow
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.tombstones import SessionKey

log = logging.getLogger(__name__)

_SLICE: Final = 1024  # sequences copied in one go on the event loop
_SEGMENT_SEQUENCES: Final = 65_536
_FORMER_EPOCHS: Final = 8
_SEGMENTS: Final = 200  # most that are added before all is written anew
_OUTDATED: Final = 1000  # rows on disk that may be out of date, beside as many as there are sequences


class Kept(NamedTuple):
    """What a folder held. clean: all of it, as it was when its server stopped, at `written_unix_seconds`."""

    segments: Sequence[Segment] = ()
    clean: bool = False
    written_unix_seconds: float = 0.0


class Durability:
    """clock, wall_clock: as in Sessions."""

    def __init__(
        self,
        settings: SessionSettings,
        live: LiveSessions,
        capacity: Capacity,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._every = settings.durable_every
        self._live = live
        self._capacity = capacity
        self._clock = clock
        self._wall_clock = wall_clock
        self._store: SessionStore | None = None
        self._changed: dict[SessionKey, None] = {}
        self._feeds = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._refused = False  # the folder was, at the start
        self._restored = False  # what the folder held is live, so that it may be written over
        self._stopped = False

    async def load(self) -> Kept:
        """What the folder holds; nothing where it cannot be used, which costs durability only.

        The folder is marked as taken before its states come to life: should this server crash, they are old.
        """
        folder = self._settings.directory
        if folder is None or (self._every is None and not await asyncio.to_thread(folder.is_dir)):
            return Kept()
        await self._take_folder()
        store = self._store
        if store is None:
            self._refused = True
            return Kept()
        written_unix_seconds = store.manifest.written_unix_seconds
        segments, clean = await asyncio.to_thread(store.read)
        try:
            await asyncio.to_thread(store.mark_unclean)
        except OSError as error:
            log.error("live sequences are neither restored nor kept, for %s cannot be written: %s", folder, error)
            await asyncio.to_thread(store.close)
            self._store, self._refused = None, True
            return Kept()
        return Kept(segments, clean, written_unix_seconds)

    async def began(self) -> None:
        """What was restored is live: writes it anew, or (without durable_every) keeps nothing until the server stops."""
        if self._store is None:
            return
        self._restored = True
        try:
            if self._every:
                await self._write_all(clean=False)
            else:
                await self._commit((), whole=True, clean=False)
        except OSError as error:
            log.error("live sequences cannot be written to %s: %s", self._settings.directory, error)

    def on_change(self, key: SessionKey) -> None:
        """A sequence began, was fed or ended."""
        if self._every is None or not self._restored or self._stopped:
            return
        self._changed[key] = None
        self._feeds += 1
        if self._is_due():
            self._start_writing()
        self._set_timer()

    async def stop(self) -> None:
        """Writes every live sequence. No feed may be under way."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        if self._store is None and not self._refused and next(iter(self._live), None) is not None:
            await self._take_folder()
        if self._store is None:
            return
        try:
            written = await self._write_all(clean=True)
            if written:
                log.info("%d live sequences were written to %s", written, self._settings.directory)
        except OSError as error:
            log.error("live sequences could not be written to %s and are lost: %s", self._settings.directory, error)
        await asyncio.to_thread(self._store.close)
        self._store = None

    # --- when ---

    def _on_timer(self) -> None:
        self._timer = None
        self._start_writing()

    def _start_writing(self) -> None:
        if (self._writing is None or self._writing.done()) and not self._stopped:
            self._writing = asyncio.create_task(self._write_until_done())

    async def _write_until_done(self) -> None:
        """And again, if as many feeds came meanwhile."""
        while True:
            self._feeds = 0
            changed, self._changed = self._changed, {}
            try:
                await self._write(changed)
            except Exception:
                self._changed = changed | self._changed
                self._feeds = 0
                log.exception(
                    "live sequences could not be written to %s; they will be with the next ones", self._settings.directory
                )
            if not self._is_due():
                break
        if self._changed:
            self._set_timer()

    def _is_due(self) -> bool:
        feeds = None if self._every is None else self._every.feeds
        return feeds is not None and self._feeds >= feeds and not self._stopped

    def _set_timer(self) -> None:
        if self._timer is None and self._every is not None and self._every.seconds is not None and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(self._every.seconds, self._on_timer)

    # --- what ---

    async def _write(self, changed: Iterable[SessionKey]) -> None:
        store = self._store
        if store is None:
            return
        if store.sequences > 2 * len(self._live) + _OUTDATED or len(store.manifest.segments) > _SEGMENTS:
            await self._write_all(clean=False)
            return
        live: list[Session] = []
        ended: dict[str, list[str]] = {}
        for key in changed:
            session = self._live.find(key)
            if session is not None and session.pin is not None:
                live.append(session)
            else:
                ended.setdefault(key.model, []).append(key.session_id)
        entries = [entry async for entry in self._written(live, ended)]
        await self._commit(entries, whole=False, clean=False)

    async def _write_all(self, *, clean: bool) -> int:
        entries = [entry async for entry in self._written(list(self._live), {})]
        await self._commit(entries, whole=self._restored, clean=clean)
        return sum(entry.sequences for entry in entries)

    async def _written(self, sessions: list[Session], ended: dict[str, list[str]]) -> AsyncIterator[SegmentEntry]:
        """Puts them on disk, version by version; ids that ended go first, so that a new life outdoes the end of the last."""
        if self._store is None:
            return
        for model, ids in ended.items():
            of = SegmentVersion(model=model, version=1, weights_digest="", columns=())
            gone = Segment(of, [], np.zeros((0, 0), np.float32), ids)
            yield await asyncio.to_thread(self._store.write, gone)
        by_pin: dict[int, tuple[Pin, list[Session]]] = {}
        for session in sessions:
            if session.pin is not None:
                by_pin.setdefault(id(session.pin), (session.pin, []))[1].append(session)
        with self._capacity.unchanged_disk():
            for pin, group in by_pin.values():
                for start in range(0, len(group), _SEGMENT_SEQUENCES):
                    segment = await self._gathered(pin, group[start : start + _SEGMENT_SEQUENCES])
                    yield await asyncio.to_thread(self._store.write, segment)

    async def _gathered(self, pin: Pin, sessions: list[Session]) -> Segment:
        """As they are now; each sequence is copied at one moment, with its position."""
        records: list[SessionRecord] = []
        states = np.empty((len(sessions), pin.slab.width), np.float32)
        parked: list[tuple[int, ParkedRow]] = []
        waiting = iter(sessions)
        while some := list(islice(waiting, _SLICE)):
            for session in some:
                if session.pin is not pin:
                    continue  # it has ended meanwhile, which is a change that the next write tells
                if session.row is not None:
                    states[len(records)] = pin.slab.read(session.row)
                elif session.parked is not None:
                    parked.append((len(records), session.parked))
                records.append(self._record(session))
            await asyncio.sleep(0)
        unreadable = await asyncio.to_thread(_read_parked, parked, states) if parked else set()
        whole = [place for place in range(len(records)) if place not in unreadable]
        version = pin.version
        of = SegmentVersion(
            model=version.key.model,
            version=version.key.version,
            weights_digest=version.manifest.weights_digest,
            columns=columns_of(version.state_layout),
        )
        return Segment(of, [records[place] for place in whole], states[whole])

    def _record(self, session: Session) -> SessionRecord:
        to_wall = self._wall_clock() - self._clock()
        return SessionRecord(
            session_id=session.key.session_id,
            position=session.position,
            created_seconds=session.created_seconds + to_wall,
            used_seconds=session.used_seconds + to_wall,
            confirmed=session.confirmed,
            epochs=(*session.former[-_FORMER_EPOCHS:], self._live.epoch(session)),
        )

    # --- the disk ---

    async def _take_folder(self) -> None:
        folder = self._settings.directory
        if folder is None:
            return
        try:
            self._store = await asyncio.to_thread(SessionStore, folder)
        except OSError as error:
            log.warning("live sequences are not kept over a restart: %s", error)

    async def _commit(self, entries: Iterable[SegmentEntry], *, whole: bool, clean: bool) -> None:
        if self._store is not None:
            now = self._wall_clock()
            await asyncio.to_thread(self._store.commit, entries, whole=whole, clean=clean, written_unix_seconds=now)


def _read_parked(parked: list[tuple[int, ParkedRow]], states: npt.NDArray[np.float32]) -> set[int]:
    """Into their places in `states` [rows, width]. Gives the places of those that cannot be read."""
    unreadable = set()
    for place, row in parked:
        try:
            states[place] = row.read()
        except OSError as error:
            log.error("a parked state cannot be read and is not written: %s", error)
            unreadable.add(place)
    return unreadable
