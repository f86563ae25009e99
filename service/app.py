"""The composition root: builds the server from its parts, and takes it down in the right order.

Down: health says NOT_SERVING; after the lame-duck time new requests are refused, and accepted ones finish; then open streams end
and gRPC stops, then live sequences are written, then the engine and the metrics page end. The only module that knows every room.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cellserve.models.devices import resolve_device
from cellserve.models.errors import Unsupported
from cellserve.models.measuring import resident_memory
from cellserve.service.api.access.administration import is_loopback
from cellserve.service.api.aside.shadow import Shadow
from cellserve.service.api.door import Door
from cellserve.service.api.facts import ShadowFact
from cellserve.service.api.fronts.choice import NoSuchFront, chosen_front
from cellserve.service.api.fronts.options import CannotListen
from cellserve.service.api.server import ApiServer
from cellserve.service.api.submission.execution import Execution
from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.composition import part_settings
from cellserve.service.config import Settings
from cellserve.service.engine.engine import Engine
from cellserve.service.engine.preparation import sparing_libraries
from cellserve.service.errors import Draining, InternalFailure, ServiceError
from cellserve.service.followed_files import UnusableFile
from cellserve.service.metrics.metrics import Metrics
from cellserve.service.metrics.page import MetricsPage
from cellserve.service.overview.look import Look
from cellserve.service.overview.page import StatusPage
from cellserve.service.process import garbage
from cellserve.service.process.idle_memory import IdleMemory
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.calibration.calibrations import Calibrations
from cellserve.service.registry.catalog import Catalog
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.loading import load_version
from cellserve.service.registry.manifest import Manifest
from cellserve.service.registry.memory.budget import default_budget
from cellserve.service.registry.memory.room import Room
from cellserve.service.registry.publishing.publishing import Publishing
from cellserve.service.registry.repository.remote.opening import home_of
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.rollouts import Rollouts
from cellserve.service.registry.status import AliasStatus, VersionStatus
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.stores.watch import StoreObserver
from cellserve.service.store_url import StoreUrl
from cellserve.service.tls_files import certificate_expiry

if TYPE_CHECKING:
    from cellserve.models.served import Served
    from cellserve.service.sessions.stores.valkey_store import ValkeyStore
    from cellserve.service.tracing.traces import Traces

log = logging.getLogger(__name__)

_REPLY_SECONDS: Final = 2.0  # after the drain: for replies on their way out


class NotInstalled(Exception):
    """A package that a setting needs is not installed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that serves. died: done, with the cause, when its engine has failed; the server must then end."""

    port: int
    metrics_port: int
    died: asyncio.Future[BaseException]


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code: 0 after a drain, 1 if it could not start or its engine failed,
    2 if a setting names a file, a device or a front that cannot be used.
    """
    try:
        with asyncio.Runner(loop_factory=_event_loop()) as runner:
            return runner.run(_serve(settings))
    except (CannotListen, NoSuchFront, NotInstalled, ServiceError, UnusableFile, Unsupported) as error:
        print(f"cellserve: {error}", file=sys.stderr)
        return 2 if isinstance(error, UnusableFile | Unsupported | NoSuchFront | NotInstalled) else 1


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's, which costs an eighth less for each request (docs/performance.md); Python's own where that cannot be had."""
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return new_event_loop


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Running]:
    """A server in this process and event loop, drained at the end.

    Raises CannotListen, RepositoryError, UnusableFile; Unsupported: a device that is not there.
    """
    server = _Server(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        yield await server.start()


async def _serve(settings: Settings) -> int:
    garbage.collect_seldom()
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, asked_to_stop.set)
    async with serving(settings) as running:
        print(f"cellserve ready on {settings.host}:{running.port} (metrics {running.metrics_port})", flush=True)
        stopping = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait((stopping, running.died), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for number in signals:
            loop.remove_signal_handler(number)  # a second signal ends the process at once
    return 1 if running.died.done() else 0


class _Server:
    """Every part, wired. Lives on the event loop that made it."""

    def __init__(self, settings: Settings) -> None:
        version = importlib.metadata.version("cellserve")
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._died: asyncio.Future[BaseException] = self._loop.create_future()
        self._idle_memory = IdleMemory(resident_memory.resident_bytes, resident_memory.give_back)
        self._statuses: list[VersionStatus] = []
        self._aliases: list[AliasStatus] = []
        self._showing = False
        self._page: MetricsPage | None = None
        self._working = False  # the engine has been started
        options = part_settings.server_options(settings)
        self._metrics = Metrics(version, chosen_front(options.front), self._loop.call_soon_threadsafe)
        inbox = Inbox(self._loop)
        self._engine = Engine(inbox.deliver, self._metrics, part_settings.engine_settings(settings), self._on_death)
        self._execution = Execution(self._engine, inbox)
        repository = Repository(home_of(settings))
        self._room = _room(settings)
        self._catalog = Catalog(repository, self._engine, settings, load=self._load, observer=self._metrics, room=self._room)
        cache = CalibrationCache(settings.calibration_folder, machine.identity())
        self._calibrations = Calibrations(repository, self._engine, cache, self._catalog.settings_for, self._metrics.on_choice)
        self._store = _session_store(settings, self._metrics)
        sessions = part_settings.session_settings(settings)
        self._sessions = Sessions(self._execution.feed, self._catalog, sessions, self._metrics, store=self._store)
        door = Door(self._catalog, self._execution, part_settings.limits(settings), self._sessions)
        self._shadow = Shadow(
            self._catalog, self._execution, door.signatures.of, self._on_shadow, lambda key: self._rollouts.compares(key)
        )
        door.shadow = self._shadow
        self._catalog.subscribe_to_disk(door.samples.follow)
        self._publishing = Publishing(repository, part_settings.upload_limits(settings))
        self._rollouts = Rollouts(repository, self._catalog, on_change=self._metrics.on_rollout)
        self._metrics.requests_also_to(self._rollouts.on_request)
        self._traces = _traces(settings, version)
        tracer = None if self._traces is None else self._traces.begin
        self._api = ApiServer(
            door, self._publishing, self._rollouts, self._metrics, self._metrics.statistics, options, version, tracer
        )

    async def start(self) -> Running:
        """Ports first, so that a taken one is told before anything is loaded."""
        if self._settings.tokens is not None and self._settings.tls is None and not is_loopback(self._settings.host):
            log.warning(
                "tokens cross the network in plain text: whoever can read a packet to %s can use them; "
                "start the server with --tls-certificate and --tls-key, or on --host 127.0.0.1 behind a proxy that adds TLS",
                self._settings.host,
            )
        if self._settings.administration_from and self._settings.tokens is None:
            log.warning("whoever calls from %s may administer this server", self._settings.administration_from)
        port = self._api.bind()
        try:
            self._page = self._metrics.open_page(self._settings.host, self._settings.metrics_port)
        except OSError as error:
            address = f"{self._settings.host}:{self._settings.metrics_port}"
            raise CannotListen(f"cannot listen on {address} for metrics: {error.strerror}") from error
        self._metrics.watch(
            self._engine.lanes,
            lambda: self._statuses,
            self._sessions.counts,
            lambda: self._aliases,
            self._rollouts.progress,
            partial(certificate_expiry, self._settings.tls),
            lambda: self._catalog.trouble,
            self._catalog.footprints,
            self._room.budget_bytes,
        )
        self._page.show("/", StatusPage(partial(self._look, self._page)))
        self._metrics.listen()
        self._engine.start()
        self._working = True
        self._catalog.subscribe(lambda status: self._show_soon())
        self._catalog.subscribe_to_disk(self._show_soon)
        self._catalog.subscribe_to_disk(self._show_trouble)
        await self._catalog.start()
        self._catalog.subscribe(self._sessions.on_version)
        if self._store is not None:
            self._store.watch.on_change = self._show_store
        await self._sessions.start()
        self._show_versions()
        await self._rollouts.start()
        self._publishing.start()
        await self._api.start()
        self._show_store()
        self._page.ready = True
        self._idle_memory.start()
        self._catalog.subscribe(self._calibrations.on_change)
        self._catalog.subscribe_to_disk(self._calibrations.follow)
        for status in self._catalog.index():
            self._calibrations.on_change(status)
        return Running(port, self._page.port, self._died)

    async def stop(self) -> None:
        """Whatever fails on the way, the rest is done: nobody's sequence is lost because of another part."""
        if self._working and not self._died.done() and self._settings.lame_duck_seconds:
            self._not_ready()
            self._api.leave()
            await asyncio.wait((self._died,), timeout=self._settings.lame_duck_seconds)
        self._not_ready()
        self._api.close()
        async with AsyncExitStack() as last_first:
            last_first.callback(self._metrics.close)
            if self._traces is not None:
                last_first.push_async_callback(asyncio.to_thread, self._traces.close)
            if self._page is not None:
                last_first.push_async_callback(asyncio.to_thread, self._page.close)
            last_first.push_async_callback(asyncio.to_thread, self._engine.stop)
            last_first.push_async_callback(self._sessions.stop)
            last_first.push_async_callback(self._api.stop, _REPLY_SECONDS)
            last_first.push_async_callback(self._drain)
            last_first.push_async_callback(self._idle_memory.stop)
            last_first.push_async_callback(self._calibrations.stop)
            last_first.push_async_callback(self._publishing.stop)
            last_first.push_async_callback(self._rollouts.stop)
            last_first.push_async_callback(self._shadow.stop)
            last_first.push_async_callback(self._catalog.stop)

    def _look(self, page: MetricsPage) -> Look:
        """On the page's threads."""
        return Look.at(self._metrics.registry.collect(), time.monotonic(), page.readiness)

    def _not_ready(self) -> None:
        if self._page is not None:
            self._page.ready = False

    async def _drain(self) -> None:
        if not self._working or self._died.done():
            return
        seconds = self._settings.drain_seconds
        if not await asyncio.to_thread(self._engine.drain, seconds):
            log.warning("not everything accepted was finished within %g s", seconds)
            self._execution.fail(Draining("the server is stopping and could not finish this request in time"))

    def _load(self, repository: Repository, manifest: Manifest, settings: Settings) -> tuple[LoadedVersion, Served]:
        """In a thread of the catalog's."""
        with sparing_libraries():
            version, network = load_version(repository, manifest, settings)
        self._metrics.on_offer(manifest.key, [label for label, obstacle in version.implementations.items() if obstacle is None])
        return version, network

    def _show_store(self) -> None:
        reason = None if self._store is None else self._store.watch.reason
        self._api.show_store(reason)
        if self._page is not None:
            self._page.trouble = reason

    def _show_trouble(self) -> None:
        if self._page is not None:
            self._page.repository_trouble = self._catalog.trouble

    def _show_soon(self) -> None:
        """Many changes of one moment are shown once, after the catalog has finished with them."""
        if not self._showing:
            self._showing = True
            self._loop.call_soon(self._show_versions)

    def _show_versions(self) -> None:
        self._showing = False
        self._statuses = self._catalog.index()  # read by scrapes, on threads of their own
        self._aliases = self._catalog.aliases()
        self._metrics.on_aliases(self._aliases)
        self._api.show_models()

    def _on_shadow(self, fact: ShadowFact) -> None:
        self._metrics.on_shadow(fact)
        if fact.result in ("compared", "unlike"):
            self._rollouts.on_compared(fact.version, fact.shadow, fact.difference)

    def _on_death(self, cause: BaseException) -> None:
        """On the engine's thread."""
        self._loop.call_soon_threadsafe(self._die, cause)

    def _die(self, cause: BaseException) -> None:
        log.critical("the engine has failed; the server ends", exc_info=cause)
        failure = InternalFailure("the server's engine has failed and the server is ending")
        if self._page is not None:
            self._page.failure = str(failure)
        self._api.close(failure)
        self._execution.fail(failure)
        if not self._died.done():
            self._died.set_result(cause)


def _room(settings: Settings) -> Room:
    engine = part_settings.engine_settings(settings)
    given = settings.memory_bytes
    budget = default_budget(resident_memory.limit_bytes()) if given is None else given
    on_host = resolve_device(settings.device) == "cpu"
    return Room(budget, engine.workers * engine.max_active_sequences if on_host else 0)


def _session_store(settings: Settings, observer: StoreObserver) -> ValkeyStore | None:
    """Raises NotInstalled."""
    url = StoreUrl.parse(settings.session_store)
    if url is None:
        return None
    try:
        from cellserve.service.sessions.stores.valkey_store import ValkeyStore
    except ModuleNotFoundError as error:
        raise NotInstalled(f"--session-store needs the package {error.name}: pip install 'cellserve[cluster]'") from error
    return ValkeyStore(url, settings.session_store_prefix, settings.max_sessions, part_settings.replica_name(settings), observer)


def _traces(settings: Settings, version: str) -> Traces | None:
    """Raises NotInstalled."""
    if not settings.trace_endpoint:
        return None
    try:
        from cellserve.service.tracing.traces import Traces, exported
    except ModuleNotFoundError as error:
        raise NotInstalled(f"--trace-endpoint needs the package {error.name}: pip install 'cellserve[otel]'") from error
    return Traces(exported(settings.trace_endpoint), settings.trace_share, version, part_settings.replica_name(settings))
