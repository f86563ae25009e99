"""One `cellserve serve`, in an environment of its own, as a replica of Ray Serve has it: started, watched, ended."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path
from typing import Any, Final

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper
from cellserve.service.cluster.on_ray.health import Health
from cellserve.service.cluster.on_ray.scaling import SERIES, waiting
from cellserve.service.cluster.on_ray.wanted import Wanted
from cellserve.service.cluster.serving import ANSWER_SECONDS, listening, until_unwell

_PAGE_SECONDS: Final = 5.0


class Served:
    """name: of the server. host: where it listens. believed: networks from which it takes request ids. A Program."""

    def __init__(self, name: str, host: str, believed: str, environment: dict[str, str], wanted: Wanted) -> None:
        self.name = name
        self.drain_seconds = wanted.drain_seconds
        self.port = self.metrics_port = 0  # another in each of its lives
        self._host = host
        self._folder = Folder(Path(wanted.folder))
        own = ("--replica-name", name, "--host", host, "--request-ids-from", believed)
        self._command = (*wanted.command, *own)
        self._environment = environment
        self._wanted = wanted

    async def start(self) -> Child:
        self.port = self.metrics_port = 0
        return await Child.start(self._command, self._folder.log(self.name), self._environment, inside=Path(self._wanted.inside))

    async def ready(self, child: Child) -> bool:
        if (found := await listening(child)) is None:
            return False
        self.port, self.metrics_port = found.port, found.metrics_port
        return True

    async def unwell(self, child: Child) -> None:
        health = Health(f"{self._host}:{self.port}", self._wanted.tls, self._wanted.tls_name)
        try:
            await until_unwell(lambda: asyncio.to_thread(health.serving, ANSWER_SECONDS))
        finally:
            health.close()

    def page(self) -> str:
        """Its metrics. Waits for them. Raises OSError."""
        with urllib.request.urlopen(f"http://{self._host}:{self.metrics_port}/metrics", timeout=_PAGE_SECONDS) as response:
            text: str = response.read().decode()
            return text


class Server:
    """who: the name of this actor. directory: an actor, a Directory."""

    def __init__(self, who: str, host: str, believed: str, environment: dict[str, str], wanted: Wanted, directory: Any) -> None:
        self._who = who
        self._host = host
        self._believed = believed
        self._environment = environment
        self._wanted = wanted
        self._directory = directory
        self._served: Served | None = None
        self._keeper: Keeper | None = None

    async def begin(self) -> None:
        """Returns when it serves. Raises ClusterFailed."""
        name = await self._directory.join.remote(self._who)
        folder = Folder(Path(self._wanted.folder))
        folder.root.mkdir(parents=True, exist_ok=True)
        self._served = Served(name, self._host, self._believed, self._environment, self._wanted)
        self._keeper = Keeper(self._served, folder, self._tell)
        try:
            await self._keeper.ready()
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """First it is off the list, then it ends: requests that come all the same are asked again elsewhere."""
        await self._directory.leave.remote(self._who)
        if self._keeper is not None:
            await self._keeper.stop()

    def require_kept(self) -> None:
        """Raises ClusterFailed: nobody starts it again."""
        if self._keeper is not None and self._keeper.keeping.done():
            self._keeper.keeping.result()

    async def stats(self) -> dict[str, float]:
        """What it is scaled by. Raises OSError: it cannot say just now."""
        if self._served is None or not self._served.metrics_port:
            return {}
        return {SERIES: waiting(await asyncio.to_thread(self._served.page))}

    def _tell(self) -> None:
        if self._served is None or self._keeper is None:  # it is being made
            return
        facts = {
            "name": self._served.name,
            "host": self._host,
            "port": self._served.port,
            "metrics_port": self._served.metrics_port,
            "pid": self._keeper.pid,
            "state": str(self._keeper.state),
            "restarts": self._keeper.restarts.count,
        }
        self._directory.tell.remote(self._who, facts)
