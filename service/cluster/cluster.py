"""A cluster on this machine from its start to its end: a store, replicas, and an Envoy before them, all kept running.

Up: the store; then the replicas and the proxy. Down: the proxy takes nothing new, the replicas finish what they have accepted,
the proxy ends, then the store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from cellserve.service.cluster import binaries
from cellserve.service.cluster.envoy.plan import EndpointsFile, ProxyPlan
from cellserve.service.cluster.envoy.upstream import ping_seconds
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper, State
from cellserve.service.cluster.own import Own
from cellserve.service.cluster.proxy import Proxy
from cellserve.service.cluster.ray import Ray, wanted
from cellserve.service.cluster.settings import INTERNAL_NAME, LOCAL, ClusterSettings, replica_environment, upstream_tls
from cellserve.service.cluster.store import Store
from cellserve.service.cluster.supervisor import Supervisor
from cellserve.service.networks import parsed_networks
from cellserve.service.process.cores import usable_cores
from cellserve.service.store_url import StoreUrl

Announce = Callable[[dict[str, Any]], None]
_SOCKET: Final = "admin"
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run(settings: ClusterSettings, announce: Announce) -> None:
    """Until SIGTERM or SIGINT. announce: called when all is ready, with what there is.

    Raises ClusterFailed; UnusableFile: of TLS.
    """
    for files in (settings.serve.tls, settings.internal):
        if files is not None:
            files.read()
    folder = Folder(settings.folder)
    with folder.held(), tempfile.TemporaryDirectory(prefix="cellserve-") as sockets:
        asyncio.run(_run(settings, folder, Path(sockets), announce))


async def _run(settings: ClusterSettings, folder: Folder, sockets: Path, announce: Announce) -> None:
    loop, asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked_to_stop.set)
    cluster = Cluster(settings, folder, sockets)
    stopping, working = (asyncio.create_task(each) for each in (asked_to_stop.wait(), cluster.work(announce)))
    try:
        await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)  # a second signal ends this process at once, and with it all it has started
        stopping.cancel()
        working.cancel()
        await asyncio.wait((stopping, working))
        await cluster.stop()


class Cluster:
    """Lives on the event loop that made it. sockets: a folder with a short path."""

    def __init__(self, settings: ClusterSettings, folder: Folder, sockets: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._sockets = sockets
        admin = sockets / _SOCKET
        self._port = _free(settings.host, settings.port)
        plan = _plan(settings, self._port, folder, admin)
        self._proxy = Proxy(binaries.envoy(), folder, plan, admin, threads=max(1, len(usable_cores()) // 2))
        self._store = None
        if not settings.store:
            prefix = settings.serve.session_store_prefix
            guarded = settings.internal is not None
            self._store = Store(binaries.valkey(), folder, _free(LOCAL, 0), prefix, guarded)
        self._supervisor: Supervisor | None = None
        self._store_keeper: Keeper | None = None
        self._proxy_keeper: Keeper | None = None

    async def work(self, announce: Announce) -> None:
        """Never returns. Raises ClusterFailed: something could not be started."""
        store_url = self._settings.store
        if self._store is not None:
            store_url = self._store.url
            self._store_keeper = Keeper(self._store, self._folder, self._show)
            await self._store_keeper.ready()
        self._proxy.publish(())
        self._proxy_keeper = Keeper(self._proxy, self._folder, self._show)
        self._supervisor = _supervisor(self._settings, self._folder, self._sockets, store_url)
        self._supervisor.begin(self._show_replicas)
        for keeper in self._keepers():
            await keeper.ready()
        await self._proxy.wait_for(len(self._supervisor.endpoints()))
        announce(_brief(self._facts()))
        done, _ = await asyncio.wait([keeper.keeping for keeper in self._keepers()], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Whatever fails on the way, the rest is ended."""
        async with AsyncExitStack() as last_first:
            if self._store_keeper is not None:
                last_first.push_async_callback(self._store_keeper.stop)
            if self._proxy_keeper is not None:
                last_first.push_async_callback(self._proxy_keeper.stop)
            if self._supervisor is not None:
                last_first.push_async_callback(_all, *(keeper.stop for keeper in self._supervisor.keepers))
            if self._proxy_keeper is not None and self._proxy_keeper.state is State.READY:
                last_first.push_async_callback(self._proxy.leave)

    def _keepers(self) -> list[Keeper]:
        others = [keeper for keeper in (self._store_keeper, self._proxy_keeper) if keeper is not None]
        return others if self._supervisor is None else [*others, *self._supervisor.keepers]

    def _show_replicas(self) -> None:
        if self._supervisor is not None:
            self._proxy.publish(self._supervisor.endpoints())
        self._show()

    def _show(self) -> None:
        self._folder.write_state(self._facts())

    def _facts(self) -> dict[str, Any]:
        replicas = [] if self._supervisor is None else self._supervisor.servers()
        store: dict[str, Any] = {"url": _without_password(self._settings.store), "pid": None}
        if self._store is not None:
            store = {"url": self._store.shown_url, **_life(self._store_keeper)}
        url = f"{self._settings.host}:{self._port}"
        facts = {"url": url, "replicas": replicas, "store": store, "proxy": _life(self._proxy_keeper), "pid": os.getpid()}
        if isinstance(self._supervisor, Ray):
            facts["ray"] = _life(next(iter(self._supervisor.keepers), None))
        return facts


def _supervisor(settings: ClusterSettings, folder: Folder, sockets: Path, store_url: str) -> Supervisor:
    environment = replica_environment(settings, os.environ, store_url, len(usable_cores()))
    if settings.ray is None:
        return Own.of(settings, folder, environment, store_url)
    return Ray(settings.ray.python, wanted(settings, settings.ray, folder, environment, store_url, sockets), folder, sockets)


def _life(keeper: Keeper | None) -> dict[str, Any]:
    if keeper is None:
        return {"pid": None}
    return {"pid": keeper.pid, "state": str(keeper.state), "restarts": keeper.restarts.count}


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    """What whoever has started it is told: where all are, and which processes."""
    replicas = [{name: each[name] for name in ("url", "pid")} for each in facts["replicas"]]
    return {"url": facts["url"], "replicas": replicas, "store": {name: facts["store"][name] for name in ("url", "pid")}}


def _plan(settings: ClusterSettings, port: int, folder: Folder, admin: Path) -> ProxyPlan:
    serve = settings.serve
    networks = parsed_networks(serve.administration_from)
    return ProxyPlan(
        host=settings.host,
        port=port,
        replicas=EndpointsFile(str(folder.endpoints)),
        admin=str(admin),
        max_message_bytes=serve.max_message_bytes,
        ping_seconds=ping_seconds(serve.min_ping_interval_seconds),
        tls=serve.tls,
        upstream_tls=upstream_tls(settings.internal, INTERNAL_NAME),
        administration_from=networks if serve.tokens is None else None,
        believe_request_ids=settings.believe_request_ids,
    )


def _free(host: str, port: int) -> int:
    """The port itself, or a free one for 0. Raises ClusterFailed: it is taken, which Envoy would not mind if by another Envoy."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            raise ClusterFailed(f"cannot listen on {host}:{port}: {error.strerror}") from error
        found: int = tried.getsockname()[1]
        return found


def _without_password(url: str) -> str:
    parsed = StoreUrl.parse(url)
    return "" if parsed is None else str(parsed)


async def _all(*what: Callable[[], Any]) -> None:
    await asyncio.gather(*(each() for each in what))
