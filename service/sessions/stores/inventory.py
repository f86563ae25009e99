"""All live sequences that a store holds, as facts. What their states are it does not read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from cellserve.service.sessions.info import SessionInfo
from cellserve.service.sessions.live import LiveSessions
from cellserve.service.sessions.stores.record import HEAD_BYTES, DamagedRecord, decode_head
from cellserve.service.sessions.stores.store import Listed, Store
from cellserve.service.sessions.tombstones import SessionKey

log = logging.getLogger(__name__)


class Inventory:
    """wall_clock: seconds since 1970."""

    def __init__(self, store: Store, live: LiveSessions, wall_clock: Callable[[], float]) -> None:
        self._store = store
        self._live = live
        self._wall_clock = wall_clock

    async def listed(self, here: Sequence[SessionInfo]) -> list[SessionInfo]:
        """By model and then by age, the oldest first. here: those that are under way on this replica are active."""
        active = {(info.model, info.session_id) for info in here if info.state == "active"}
        infos = [info for each in await self._store.listed(HEAD_BYTES) if (info := self._info(each, active)) is not None]
        return sorted(infos, key=lambda info: (info.model, -info.age_seconds))

    def _info(self, listed: Listed, active: set[tuple[str, str]]) -> SessionInfo | None:
        try:
            record, identity = decode_head(listed.head)
        except DamagedRecord as error:
            log.error("a record in the session store is not listed: %s", error)
            return None
        key = SessionKey(identity.model, identity.session_id)
        is_active = key in active
        idle = self._live.idle_seconds(key.model)
        age = max(0.0, self._wall_clock() - record.created_seconds)
        unfed = 0.0 if is_active or listed.seconds is None or not idle else min(age, max(0.0, idle - listed.seconds))
        return SessionInfo(
            model=key.model,
            session_id=key.session_id,
            version=record.version,
            position=record.position,
            epoch=identity.epoch,
            age_seconds=age,
            idle_seconds=unfed,
            bytes=record.state_bytes,
            state="active" if is_active else "idle",
            replica=identity.replica,
        )
