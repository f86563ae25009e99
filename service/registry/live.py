"""Brings versions into the engine and out of it, counts their uses and announces their states.

The order carries the hot swap: a version is READY only after the engine serves it, is UNLOADING before it goes, and leaves the
engine when its last lease is dropped. Runs on the event loop; the building of networks runs in threads. Decides nothing: the
catalog says what to load and what to retire. Knows no disk and no aliases.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cellserve.models.errors import ModelError
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.preparation import Preparation
from cellserve.service.errors import RepositoryAway, ServiceError
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.loading import failure_words
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.memory.room import NoRoom, Room
from cellserve.service.registry.repository.layout import Fingerprint
from cellserve.service.registry.status import VersionState

if TYPE_CHECKING:
    from cellserve.models.served import Served

log = logging.getLogger(__name__)


class Lanes(Protocol):
    """The part of the engine that the registry drives."""

    def add_version(
        self, key: VersionKey, network: Served, implementation: str | None = None, preparation: Preparation | None = None
    ) -> None: ...

    def remove_version(self, key: VersionKey) -> None: ...


class CatalogObserver(Protocol):
    """Called on the event loop; must not block."""

    def on_state(self, key: VersionKey, state: VersionState) -> None: ...

    def on_loaded(self, key: VersionKey, seconds: float) -> None: ...


@dataclass(slots=True)
class Record:
    """One version. `loaded` is there from READY until it has left the engine; `loading` while a thread builds it."""

    state: VersionState = VersionState.UNKNOWN
    reason: str = ""
    loaded: LoadedVersion | None = None
    loading: asyncio.Task[None] | None = None
    leases: int = 0
    used_seconds: float = 0.0  # when it was loaded or lent last
    fingerprint: Fingerprint = ()  # of the files as they were when loading began
    away: bool = False  # FAILED because the repository could not be asked
    short: bool = False  # FAILED because there was no memory for it
    replaced: bool = False  # the files have changed since; unloaded before it is loaded again

    @property
    def busy(self) -> bool:
        return self.loaded is not None or self.loading is not None


class LiveVersions:
    """manifest: reads what a version is; load: verifies and warms that; both in threads. on_change: told each change of state.

    clock: seconds. room: what there is for versions; None: any amount.
    """

    def __init__(
        self,
        engine: Lanes,
        manifest: Callable[[VersionKey], Manifest],
        load: Callable[[Manifest], tuple[LoadedVersion, Served]],
        observer: CatalogObserver | None,
        on_change: Callable[[VersionKey], None],
        clock: Callable[[], float] = time.monotonic,
        room: Room | None = None,
    ) -> None:
        self.records: dict[VersionKey, Record] = {}
        self._engine = engine
        self._manifest = manifest
        self._load = load
        self._observer = observer
        self._on_change = on_change
        self._clock = clock
        self._room = room or Room()

    def record(self, key: VersionKey) -> Record:
        record = self.records.get(key)
        if record is None:
            record = self.records[key] = Record()
        return record

    def state(self, key: VersionKey) -> VersionState:
        return self.records[key].state if key in self.records else VersionState.UNKNOWN

    def states(self) -> Mapping[VersionKey, VersionState]:
        return {key: record.state for key, record in self.records.items()}

    def start_load(self, key: VersionKey, fingerprint: Fingerprint) -> asyncio.Task[None]:
        """The task that ends when the version is READY or FAILED; one at a time per version. It raises nothing."""
        record = self.record(key)
        if record.loading is None:
            record.fingerprint = fingerprint
            record.loading = asyncio.create_task(self._load_in_thread(key, record))
            self.announce(key, VersionState.LOADING)
        return record.loading

    def lend(self, key: VersionKey, version: LoadedVersion, *, keep: bool = True) -> Lease:
        """A counted use. keep: a version on its way out stays; else it goes with its last use."""
        record = self.record(key)
        record.leases += 1
        record.used_seconds = self._clock()
        if keep:
            self.keep(key)
        return Lease(version, partial(self._give_back, key, record))

    def keep(self, key: VersionKey) -> None:
        """A version on its way out, but still in the engine, stays after all."""
        if self.record(key).state is VersionState.UNLOADING:
            self.announce(key, VersionState.READY)

    def retire(self, key: VersionKey) -> None:
        """Announces the end of a READY version; it goes now, or with its last lease."""
        self.announce(key, VersionState.UNLOADING)
        self._remove_if_unused(key, self.record(key))

    def forget(self, key: VersionKey) -> None:
        """Drops a version that is not in the engine."""
        if self.record(key).state is not VersionState.UNLOADED:
            self.announce(key, VersionState.UNLOADED)
        self.records.pop(key, None)

    def announce(self, key: VersionKey, state: VersionState, reason: str = "") -> None:
        record = self.record(key)
        record.state, record.reason = state, reason
        level = logging.ERROR if state is VersionState.FAILED else logging.INFO
        log.log(level, "%s is %s%s", key, state, f": {reason}" if reason else "")
        if self._observer is not None:
            self._observer.on_state(key, state)
        self._on_change(key)

    async def _load_in_thread(self, key: VersionKey, record: Record) -> None:
        began = self._clock()
        state, reason = VersionState.FAILED, ""
        record.away = record.short = False
        try:
            record.loaded = await self._bring_in(key)
            record.used_seconds = self._clock()
            state = VersionState.READY
        except (ServiceError, ModelError) as error:
            reason = failure_words(error)
            record.away = isinstance(error, RepositoryAway)
        except NoRoom as error:
            reason, record.short = str(error), True
        except Exception as error:
            log.exception("%s failed to load", key)
            reason = failure_words(error)
        record.loading = None
        if state is VersionState.READY and self._observer is not None:
            self._observer.on_loaded(key, self._clock() - began)
        self.announce(key, state, reason)

    async def _bring_in(self, key: VersionKey) -> LoadedVersion:
        """Raises NoRoom, and what the loading raises."""
        with self._room.coming(key):
            manifest = await asyncio.to_thread(self._manifest, key)
            self._room.expect(key, manifest.spec)
            version, network = await asyncio.to_thread(self._load, manifest)
            self._room.let_in(version)
            await asyncio.to_thread(self._engine.add_version, key, network, version.default_implementation, version.preparation)
        return version

    def _give_back(self, key: VersionKey, record: Record) -> None:
        record.leases -= 1
        if not record.leases:
            self._remove_if_unused(key, record)

    def _remove_if_unused(self, key: VersionKey, record: Record) -> None:
        if record.state is VersionState.UNLOADING and not record.leases:
            self._engine.remove_version(key)
            self._room.left(key)
            record.loaded, record.replaced = None, False
            self.announce(key, VersionState.UNLOADED)
