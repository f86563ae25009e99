"""What is live: keeps the engine's versions equal to what the repository wants, and lends them to requests.

An alias follows the repository once its new version is READY; until then, and if the new one fails, the old one keeps
answering, and after a restart the last one that served (pointers.py). Everything here runs on the event loop; reading disks and
building networks runs in threads. Knows no torch and no wire.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cellserve.service.config import Settings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.errors import ServiceError, UnknownModel, UnknownVersion, VersionFailed, VersionUnavailable
from cellserve.service.registry import version_index
from cellserve.service.registry.answering.fallback_teller import FallbackTeller
from cellserve.service.registry.answering.pointers import Pointers
from cellserve.service.registry.answering.served_recorder import ServedRecorder
from cellserve.service.registry.demand import Demand
from cellserve.service.registry.description import VersionDescription
from cellserve.service.registry.disk_reader import DiskReader
from cellserve.service.registry.lease import Lease, LoadedVersion
from cellserve.service.registry.live import CatalogObserver, Lanes, LiveVersions, Record
from cellserve.service.registry.loading import load_version
from cellserve.service.registry.manifest import Manifest, ModelRef, check_alias_name, check_model_name, parse_version
from cellserve.service.registry.memory.budget import Held
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.memory.room import Room
from cellserve.service.registry.model_settings import ModelSettings
from cellserve.service.registry.policy.split import Weights, point_of
from cellserve.service.registry.reconciliation import Unload, next_action
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.snapshot import Snapshot
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus

if TYPE_CHECKING:
    from cellserve.models.served import Served

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0

Loader = Callable[[Repository, Manifest, Settings], tuple[LoadedVersion, "Served"]]


def _no_key() -> str:
    return ""


class Catalog:
    """What is wanted (demand.py) is loaded, and whatever else is published when it is first acquired.

    load: reads, verifies and warms one version; called in a thread. clock: seconds since 1970, as moves of aliases are recorded.
    draw: a number in [0, 1), where a request without a key lies in a split alias. room: memory for versions; None: any amount.
    """

    def __init__(
        self,
        repository: Repository,
        engine: Lanes,
        settings: Settings,
        *,
        load: Loader = load_version,
        observer: CatalogObserver | None = None,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
        room: Room | None = None,
    ) -> None:
        self._repository = repository
        self._settings = settings
        self._draw = draw
        self._room = room or Room()
        self._live = LiveVersions(
            engine,
            lambda key: repository.manifest(*key),
            lambda manifest: load(repository, manifest, self.settings_for(manifest.model)),
            observer,
            self._on_change,
            room=self._room,
        )
        self._disk = DiskReader(repository)
        self._pointers = Pointers(self._live.state, lambda key: self._live.record(key).reason)
        self._demand = Demand(settings, self._live.state, clock)
        self._room.follow(self._in_memory, self._evict)
        self._recorder = ServedRecorder(repository, self._pointers.record)
        self._subscribers: list[Callable[[VersionStatus], None]] = []
        self._told = FallbackTeller()
        self._runner: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    # --- life ---

    async def start(self) -> None:
        """Loads what is wanted, then keeps watching. Versions that fail do not stop it. Raises RepositoryError (the root)."""
        await asyncio.to_thread(self._repository.create)
        await asyncio.to_thread(self._repository.sweep)
        await self.refresh()
        self._demand.recall()
        self._start_runner()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends the watching and starts no more loads. What is loaded stays, and leases stay good."""
        self._stopping.set()
        if self._watcher is not None:
            await self._watcher
        await self._recorder.stop()

    async def refresh(self) -> None:
        """Reads the repository again; returns when everything wanted is READY or FAILED. Raises RepositoryError (the root)."""
        await self._disk.read(self._follow_disk)
        self._demand.settle()
        await self.apply(self._demand.wanted)

    async def apply(self, wanted: frozenset[VersionKey]) -> None:
        """Makes `wanted` (the whole set, not a difference) what is live. Applying it again does nothing."""
        self._demand.want(wanted)
        while True:
            await asyncio.shield(self._start_runner())
            loading = [record.loading for key, record in self._live.records.items() if key in wanted and record.loading]
            if not loading:
                return
            await asyncio.wait(loading)

    # --- requests ---

    async def acquire(self, model: str, version: str = "", split_key: Callable[[], str] = _no_key) -> Lease:
        """A counted use of the version that `model` and `version` ("", a number or an alias) name, loading it if need be.

        split_key: of requests that should get the same version of an alias that is split; empty: any. Raises InvalidInput,
        UnknownModel, UnknownVersion, VersionFailed, VersionUnavailable (unloaded on request, or replaced).
        """
        return await self._acquire(model, version, split_key, pinned=False)

    async def acquire_pinned(self, model: str, version: int) -> Lease:
        """As `acquire`, for what has begun on this version: loaded if need be, but no longer kept than it is leased.

        A version on its way out stays on its way. Raises as `acquire`.
        """
        key = VersionKey(model, version)
        with self._demand.pinned(key, self._start_runner):
            return await self._acquire(model, str(version), pinned=True)

    def is_wanted(self, key: VersionKey) -> bool:
        """Whether it stays loaded, whoever has begun on it."""
        return self._demand.is_wanted(key) or key in self._pointers.kept()

    def ready(self, model: str, version: str = "") -> bool:
        """Whether a request for it would be served at once. False for what is unknown."""
        try:
            return self._live.state(self._pointers.resolve(model, version)) is VersionState.READY
        except ServiceError:
            return False

    def index(self) -> list[VersionStatus]:
        """Every published version, those that still finish work after their removal, and as FAILED those that aliases point at
        and that do not exist; by model and version.
        """
        return version_index.index(self._snapshot, self._live.records, self._pointers.stand_ins())

    def footprints(self) -> dict[VersionKey, Footprint]:
        """What each loaded version takes of memory. Any thread."""
        return dict(self._room.footprints)

    @property
    def trouble(self) -> str | None:
        """Why the repository cannot be read, so that what is loaded stays; None: it can."""
        return self._disk.trouble

    def aliases(self) -> list[AliasStatus]:
        """What every alias means, and ("") a request without a version."""
        return self._pointers.statuses()

    async def describe(self, model: str, version: str = "") -> VersionDescription:
        """Everything known of the version that a request with `model` and `version` would get. Loads nothing.

        Raises InvalidInput, UnknownModel, UnknownVersion, RepositoryError (its manifest cannot be read).
        """
        key = await self._find(model, version)
        on_disk, loaded = self._snapshot.models[key.model], self._live.record(key).loaded
        manifest = await asyncio.to_thread(self._repository.manifest, *key) if loaded is None else loaded.manifest
        publication = await asyncio.to_thread(self._repository.publication, key)
        return VersionDescription(
            self._status(key),
            sorted(on_disk.versions),
            manifest,
            loaded,
            self.model_settings(key.model),
            "" if publication is None else publication.by,
            on_disk.trail.moves,
            on_disk.splits,
        )

    def model_settings(self, model: str) -> ModelSettings:
        """What the model's owner says of it; the defaults for a model that is unknown."""
        return self._demand.settings_of(model)

    def settings_for(self, model: str) -> Settings:
        """The server's settings, as the model's owner has them for its versions."""
        return self._demand.settings_for(model)

    def subscribe(self, callback: Callable[[VersionStatus], None]) -> Callable[[], None]:
        """Calls `callback` on the event loop at every change of state. Gives the function that ends it."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def subscribe_to_disk(self, callback: Callable[[], None]) -> None:
        """Calls `callback` on the event loop when versions or aliases on disk are others than they were, or cannot be read."""
        self._disk.subscribe(callback)

    # --- administration ---

    async def unload(self, model: str) -> None:
        """Takes every version of the model out of service until `load` or a restart; requests under way finish.

        Raises InvalidInput, UnknownModel.
        """
        await self._find(model, "")
        self._demand.unload(model)
        await asyncio.shield(self._start_runner())

    async def load(self, model: str) -> None:
        """Ends an `unload`, tries failed versions again and returns when all that is wanted of the model is READY.

        Raises InvalidInput, UnknownModel, VersionFailed (the first that failed, and why).
        """
        await self._find(model, "")
        self._demand.load(model)
        for key, state in self._live.states().items():
            if key.model == model and state is VersionState.FAILED:
                self._live.announce(key, VersionState.UNKNOWN)
        await self.refresh()
        for key in sorted(key for key in self._demand.wanted if key.model == model):
            self._check_available(key, self._live.record(key))

    async def set_alias(self, model: str, alias: str, version: int, by: str = "", share: float = 1.0) -> int | None:
        """Points an alias at a version, loaded first; returns when it answers. Gives the version that the alias named before.

        by: who asks, for the history of aliases. share: of its requests; 1: all of them, else the rest is the other version's.
        What is loaded already must still be what lies on the disk, but for what an alias has left a moment ago: a way back waits
        for nothing to be read.

        Raises InvalidInput, UnknownModel, UnknownVersion, VersionFailed, VersionUnavailable, RepositoryError.
        """
        check_alias_name(alias)
        with await self.acquire(model, str(version)):
            previous = self._snapshot.models[model].aliases.get(alias)
            if not self._demand.kept_warm(VersionKey(model, version)):
                await asyncio.to_thread(self._repository.weights, model, version)
            if share == 1:
                await asyncio.to_thread(self._repository.set_alias, model, alias, version, by)
            else:
                await asyncio.to_thread(self._repository.split_alias, model, alias, version, share, by)
            await self._read_changed()
        return previous

    async def walk_alias(self, model: str, alias: str, before: Weights, after: Weights, version: int, by: str, why: str) -> bool:
        """`version` is loaded, then the alias is shared as `after` says, unless it means `before` no more: whether that was done.

        by, why: for the history of aliases. Raises as set_alias.
        """
        with await self.acquire(model, str(version)):
            done = await asyncio.to_thread(self._repository.walk_alias, model, alias, before, after, by, why)
            await self._read_changed()
        return done

    def models(self) -> list[str]:
        """Of which anything is published."""
        return sorted(self._snapshot.models)

    def split_models(self) -> list[str]:
        """Of which an alias is split."""
        return sorted(name for name, model in self._snapshot.models.items() if model.splits)

    def meaning(self, model: str, alias: str) -> Weights:
        """Version → its share of the requests to an alias, as the repository has it; empty: there is no such alias."""
        known = self._snapshot.models.get(model)
        return {} if known is None else known.meaning(alias)

    async def bring_in(self, key: VersionKey) -> None:
        """Returns when it is loaded, to stay. Raises as `acquire`."""
        (await self.acquire(key.model, str(key.version))).release()

    def failure(self, key: VersionKey) -> str:
        """Why a version cannot be served; empty: it can, or that is not known."""
        return self._live.record(key).reason if self._live.state(key) is VersionState.FAILED else ""

    async def remove(self, ref: ModelRef, by: str = "") -> None:
        """Removes a model, a version or an alias; what runs on it finishes. by: as in set_alias.

        Raises UnknownModel, UnknownVersion, RepositoryError (an alias points at the version; it says which).
        """
        await asyncio.to_thread(self._repository.remove, ref, by)
        await self._read_changed()

    # --- the disk ---

    async def _watch(self) -> None:
        async for _ in self._disk.looks(self._stopping):
            try:
                await self._read_changed()
            except ServiceError as error:
                log.warning("what is loaded stays: %s", error)
            except Exception:
                log.exception("the repository could not be read; what is loaded stays")

    @property
    def _snapshot(self) -> Snapshot:
        return self._disk.snapshot

    async def _read_changed(self) -> None:
        """What is there now is what is wanted. Raises RepositoryError (the root)."""
        await self._disk.read(self._follow_disk)
        self._settle()

    def _follow_disk(self) -> None:
        self._demand.follow(self._snapshot)
        for key, record in list(self._live.records.items()):
            if not self._snapshot.holds(key):
                self._room.forget(key)
                if not record.busy:
                    self._live.forget(key)
            elif record.away and self._disk.trouble is None:
                record.away = False
                self._live.announce(key, VersionState.UNKNOWN)
            elif record.fingerprint != self._snapshot.fingerprint(key):
                self._note_other_files(key, record)
        self._follow_aliases()

    def _note_other_files(self, key: VersionKey, record: Record) -> None:
        self._room.forget(key)
        if record.state is VersionState.FAILED:
            self._live.announce(key, VersionState.UNKNOWN)
        elif record.loaded is not None and not record.replaced:
            record.replaced = True
            log.warning("%s changed on disk though versions are immutable; it is unloaded and loaded again", key)

    async def _find(self, model: str, version: str, point: Callable[[], float] | None = None) -> VersionKey:
        """As `Pointers.resolve`; what it does not know may have been published a moment ago, so it asks the disk first."""
        try:
            return self._pointers.resolve(model, version, point)
        except (UnknownModel, UnknownVersion):
            check_model_name(model)
            if await self._disk.is_news(model):
                await self._read_changed()
            return self._pointers.resolve(model, version, point)

    # --- decisions ---

    def _check_available(self, key: VersionKey, record: Record) -> None:
        if self._demand.is_unloaded(key.model):
            raise VersionUnavailable(f"{key.model} was unloaded on request; load it to use it again", field="model")
        if record.state is VersionState.FAILED:
            raise VersionFailed(f"{key} failed to load: {record.reason}", field="version")
        if record.replaced:
            raise VersionUnavailable(f"{key} is being replaced", field="version", retry_after_seconds=_RETRY_SECONDS)

    def _in_memory(self) -> list[Held]:
        """Every loaded version, and why it may not make room for others."""
        kept = self._pointers.kept() | {key for (_, alias), key in self._pointers.answering.items() if alias}
        held = []
        for key, footprint in self._room.footprints.items():
            record = self._live.record(key)
            answers = key in kept and not self._demand.on_demand(key.model)
            stays = self._demand.reason_to_stay(key) or ("answers an alias" if answers else "")
            if not stays and (record.leases or record.state is not VersionState.READY):
                stays = "in use"
            held.append(Held(key, footprint.bytes, record.used_seconds, stays))
        return held

    def _retry_short(self, key: VersionKey, record: Record) -> None:
        """What there was no memory for is tried again once there would be."""
        if record.short and record.state is VersionState.FAILED and self._room.could_have(key):
            record.short = False
            self._live.announce(key, VersionState.UNKNOWN)

    def _follow_aliases(self) -> None:
        self._pointers.follow(self._snapshot)
        self._demand.note_answering(self._pointers.answering)
        self._told.tell(self._pointers.statuses())
        self._recorder.record(self._snapshot.models)

    def _to_keep(self) -> frozenset[VersionKey]:
        held = frozenset(key for key in self._pointers.kept() if self._demand.may_come(key))
        return frozenset(key for key in self._demand.to_keep() | held if not self._live.record(key).replaced)

    async def _acquire(self, model: str, version: str, split_key: Callable[[], str] = _no_key, *, pinned: bool) -> Lease:
        def point() -> float:
            return point_of(key) if (key := split_key()) else self._draw()

        while True:
            key = await self._find(model, version, point)
            record = self._live.record(key)
            self._retry_short(key, record)
            self._check_available(key, record)
            self._demand.bring_back(key)
            if self._demand.call_on(key.model):
                self._start_runner()
            if not pinned and parse_version(version) is not None:
                self._demand.ask_for(key)
            if record.loaded is not None:
                return self._live.lend(key, record.loaded, keep=not pinned)
            with self._demand.pinned(key, self._start_runner):
                await asyncio.shield(self._start_load(key))

    # --- acts ---

    def _settle(self) -> None:
        """What was read is what is wanted."""
        self._demand.settle()
        self._start_runner()

    def _start_runner(self) -> asyncio.Task[None]:
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return self._runner

    async def _run(self) -> None:
        while not self._stopping.is_set() and (action := next_action(self._to_keep(), self._live.states())) is not None:
            if isinstance(action, Unload):
                self._live.retire(action.key)
            elif self._live.record(action.key).loaded is not None:
                self._live.keep(action.key)
            else:
                await self._start_load(action.key)

    def _evict(self, key: VersionKey) -> None:
        self._demand.evict(key)
        self._live.retire(key)

    def _start_load(self, key: VersionKey) -> asyncio.Task[None]:
        return self._live.start_load(key, self._snapshot.fingerprint(key))

    def _on_change(self, key: VersionKey) -> None:
        state = self._live.state(key)
        if state in (VersionState.READY, VersionState.FAILED):
            self._follow_aliases()
        for callback in tuple(self._subscribers):
            callback(self._status(key))
        if state is VersionState.UNLOADED and not self._snapshot.holds(key) and not self._live.record(key).busy:
            self._live.forget(key)
        if state is VersionState.UNLOADED:
            for short, record in list(self._live.records.items()):
                self._retry_short(short, record)
        if state in (VersionState.READY, VersionState.FAILED, VersionState.UNLOADED) and not self._stopping.is_set():
            self._start_runner()

    def _status(self, key: VersionKey) -> VersionStatus:
        return version_index.status(self._snapshot, key, self._live.records.get(key, Record()))
