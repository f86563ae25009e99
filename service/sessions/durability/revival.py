"""Brings the sequences of a folder back to life: each on the very weights that it ran on, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellserve.service.errors import ServiceError
from cellserve.service.sessions.capacity import Capacity
from cellserve.service.sessions.durability.segment import Segment, SegmentVersion, SessionRecord, columns_of
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.observer import SessionObserver
from cellserve.service.sessions.storage.pins import Pin
from cellserve.service.sessions.tombstones import Ending, SessionKey
from cellserve.service.sessions.versions import Versions

log = logging.getLogger(__name__)


class Survivor(NamedTuple):
    """The newest that is known of one sequence. state: [width]."""

    of: SegmentVersion
    record: SessionRecord
    state: npt.NDArray[np.float32]


def newest(segments: Sequence[Segment]) -> dict[SessionKey, Survivor]:
    """What the segments say together: later ones outdo earlier ones. Pure."""
    survivors: dict[SessionKey, Survivor] = {}
    for segment in segments:
        for session_id in segment.ended:
            survivors.pop(SessionKey(segment.of.model, session_id), None)
        for record, state in zip(segment.records, segment.states):
            survivors[SessionKey(segment.of.model, record.session_id)] = Survivor(segment.of, record, state)
    return survivors


class Revival:
    """clock: as in Sessions."""

    def __init__(
        self, versions: Versions, live: LiveSessions, capacity: Capacity, observer: SessionObserver, clock: Callable[[], float]
    ) -> None:
        self._versions = versions
        self._live = live
        self._capacity = capacity
        self._observer = observer
        self._clock = clock

    async def revive(self, segments: Sequence[Segment], *, clean: bool, written_unix_seconds: float) -> None:
        """clean: the segments are all there was. written_unix_seconds: the time without a server makes nobody older."""
        survivors = newest(segments)
        pins: dict[SegmentVersion, Pin | None] = {}
        try:
            for key, survivor in sorted(survivors.items(), key=lambda each: each[1].record.used_seconds):
                if survivor.of not in pins:
                    pins[survivor.of] = await self._pin(survivor.of)
                pin = pins[survivor.of]
                if pin is None:
                    self._live.tombstones.put(key, Ending.CHANGED)
                    continue
                await self._capacity.one_more(pin)
                self._begin(key, pin, survivor, clean, written_unix_seconds)
        finally:
            for pin in pins.values():
                if pin is not None:
                    self._live.pins.drop(pin)
        self._live.sort_ages()
        if survivors:
            log.info("%d of %d live sequences were restored", len(self._live), len(survivors))

    def _begin(self, key: SessionKey, pin: Pin, survivor: Survivor, clean: bool, written_unix_seconds: float) -> None:
        record, now = survivor.record, self._clock()
        session = self._live.place(key)
        self._live.begin(session, pin, survivor.state, record.position)
        session.former = record.epochs
        session.confirmed = clean and record.confirmed
        session.created_seconds = now - max(0.0, written_unix_seconds - record.created_seconds)
        self._live.rest(session, now - max(0.0, written_unix_seconds - record.used_seconds))
        self._observer.on_session_event(pin.key, "restored")

    async def _pin(self, of: SegmentVersion) -> Pin | None:
        """None, with a log line, where its weights are not to be had."""
        name = f"{of.model}/{of.version}"
        try:
            lease = await self._versions.acquire(of.model, str(of.version))
        except ServiceError as error:
            log.warning("the live sequences of %s are not restored: %s", name, error)
            return None
        version = lease.version
        if (version.manifest.weights_digest, columns_of(version.state_layout)) != (of.weights_digest, of.columns):
            log.warning("the live sequences of %s are not restored: they are of other weights", name)
            lease.release()
            return None
        return self._live.pins.hold(lease)
