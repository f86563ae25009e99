"""The Envoy of a cluster on this machine: its files, its start, what it says of the replicas, its end."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.envoy.bootstrap import bootstrap
from cellserve.service.cluster.envoy.plan import Endpoint, ProxyPlan
from cellserve.service.cluster.envoy.upstream import REPLICAS, assignment
from cellserve.service.cluster.folder import Folder, replace_file

_PAUSE_SECONDS: Final = 0.02
_LEAVE_SECONDS: Final = 2.0
_HEALTHY_SECONDS: Final = 30.0
_ADMIN_SECONDS: Final = 5.0
_ACTIVE: Final = "http.clients.downstream_rq_active"


class Proxy:
    """admin: the path of its socket. threads: that carry requests. A Program."""

    name = "proxy"
    drain_seconds = 5.0

    def __init__(self, binary: Path, folder: Folder, plan: ProxyPlan, admin: Path, threads: int) -> None:
        self._binary = binary
        self._folder = folder
        self._plan = plan
        self._admin = admin
        self._threads = threads

    async def start(self) -> Child:
        replace_file(self._folder.bootstrap, json.dumps(bootstrap(self._plan)))
        self._admin.unlink(missing_ok=True)
        command = (
            str(self._binary),
            "--config-path",
            str(self._folder.bootstrap),
            "--disable-hot-restart",
            "--concurrency",
            str(self._threads),
            "--log-level",
            "warning",
        )
        return await Child.start(command, self._folder.log(self.name))

    async def ready(self, child: Child) -> bool:
        while child.lives:
            if (await self._ask("GET", "/ready"))[0] == http.client.OK:
                return True
            await asyncio.sleep(_PAUSE_SECONDS)
        return False

    async def unwell(self, child: Child) -> None:
        """It answers or it ends."""
        await asyncio.Event().wait()

    def publish(self, replicas: Sequence[Endpoint]) -> None:
        """From now on requests go to these. None at all: to those of before, for one of them may come back meanwhile."""
        if replicas or not self._folder.endpoints.exists():
            replace_file(self._folder.endpoints, json.dumps(assignment(replicas)))

    async def wait_for(self, replicas: int) -> None:
        """Until it has found so many in good health, or for a while: where they do not reach their store it never does."""
        end = asyncio.get_running_loop().time() + _HEALTHY_SECONDS
        while await self._healthy() < replicas and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_PAUSE_SECONDS)

    async def leave(self) -> None:
        """Takes no further connections, and asks those that there are to end. Waits a moment for what is under way."""
        await self._ask("POST", "/drain_listeners?graceful&skip_exit")
        end = asyncio.get_running_loop().time() + _LEAVE_SECONDS
        while asyncio.get_running_loop().time() < end:
            status, text = await self._ask("GET", f"/stats?filter={_ACTIVE}")
            if status != http.client.OK or text.strip() == f"{_ACTIVE}: 0":
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _healthy(self) -> int:
        status, text = await self._ask("GET", "/clusters?format=json")
        if status != http.client.OK:
            return 0
        clusters: list[dict[str, Any]] = json.loads(text).get("cluster_statuses", [])
        hosts = [host for each in clusters if each["name"] == REPLICAS for host in each.get("host_statuses", [])]
        return sum(not host["health_status"].keys() - {"eds_health_status"} for host in hosts)

    async def _ask(self, method: str, path: str) -> tuple[int, str]:
        """(0, "") where nobody answers."""
        return await asyncio.to_thread(_ask, self._admin, method, path)


class _Connection(http.client.HTTPConnection):
    """To a local socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ADMIN_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(admin: Path, method: str, path: str) -> tuple[int, str]:
    connection = _Connection(admin)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
