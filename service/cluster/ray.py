"""The supervisor that is Ray: it keeps servers running on this machine or on several, and adds some when much waits.

Ray lives in a Python of its own, for what it needs may not go with what servers need; `on_ray` runs there, and is told on its
standard input what is wanted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.envoy.plan import Endpoint
from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.keeper import Keeper, State
from cellserve.service.cluster.on_ray.wanted import Wanted
from cellserve.service.cluster.replica import SERVE
from cellserve.service.cluster.settings import INTERNAL_NAME, ClusterSettings, RaySettings, common_options
from cellserve.service.cluster.supervisor import Facts

_HERE: Final = Path(__file__).parent
_SHOWN: Final = (  # need no package
    "bound.py",
    "child.py",
    "errors.py",
    "folder.py",
    "keeper.py",
    "restarts.py",
    "serving.py",
    "on_ray",
)
_OF_CELLSERVE: Final = "CELLSERVE_"
_PROGRAM: Final = "cellserve.service.cluster.on_ray.program"
_END_SECONDS: Final = 30.0  # of Ray itself, when the servers have ended
_ENVIRONMENT: Final = {
    "RAY_worker_niceness": "0",  # 15 otherwise, which servers would inherit
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",  # of which its processor time at rest is made
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_STOP_FAILED_ROLLING_UPDATES": "0",  # once one has served, a server that does not come up is tried again for ever
}


class Ray:
    """python: that has Ray. temporary: a folder with a short path, for sockets. A Supervisor, and a Program."""

    name = "ray"

    def __init__(self, python: Path, wanted: Wanted, folder: Folder, temporary: Path) -> None:
        self.drain_seconds = wanted.drain_seconds + _END_SECONDS
        self._python = python
        self._wanted = wanted
        self._folder = folder
        self._window = temporary / "window"
        self._keeper: Keeper | None = None
        self._changed: Callable[[], None] = lambda: None
        self._told: list[Facts] = []

    def begin(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._keeper = Keeper(self, self._folder, self._show)

    @property
    def keepers(self) -> list[Keeper]:
        return [] if self._keeper is None else [self._keeper]

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint(each["name"], each["host"], each["port"]) for each in self._told if each["state"] == State.READY]

    def servers(self) -> list[Facts]:
        return [
            {
                "name": each["name"],
                "url": f"{each['host']}:{each['port']}" if each["port"] else "",
                "pid": each["pid"],
                "metrics_url": f"http://{each['host']}:{each['metrics_port']}/metrics" if each["metrics_port"] else "",
                "state": each["state"],
                "restarts": each["restarts"],
            }
            for each in self._told
        ]

    async def start(self) -> Child:
        _show_window(self._window)
        command = (str(self._python), "-m", _PROGRAM)
        environment = _environment(os.environ, self._window, own=not self._wanted.address)
        child = await Child.start(command, self._folder.log(self.name), environment, self._wanted.text())
        child.heard = self._hear
        return child

    async def ready(self, child: Child) -> bool:
        while line := await child.line():
            self._hear(line)
            if len(self.endpoints()) >= self._wanted.replicas:
                return True
        return False

    async def unwell(self, child: Child) -> None:
        """It says who serves, or it ends."""
        await asyncio.Event().wait()

    def _hear(self, line: str) -> None:
        self._told = json.loads(line)
        self._changed()

    def _show(self) -> None:
        if self._keeper is not None and self._keeper.state in (State.DEAD, State.ENDED):
            self._told = []
        self._changed()


def wanted(
    settings: ClusterSettings, ray: RaySettings, folder: Folder, environment: Mapping[str, str], store_url: str, temporary: Path
) -> Wanted:
    """environment: of a server here; machines of another's Ray keep their own, but for what is said of servers.
    temporary: a folder with a short path.
    """
    tls = settings.internal
    return Wanted(
        name=f"cellserve-{settings.serve.session_store_prefix}",
        command=(*SERVE, *common_options(settings, store_url)),
        environment={name: value for name, value in environment.items() if not ray.address or name.startswith(_OF_CELLSERVE)},
        inside=os.getcwd(),
        folder=str(folder.root),
        drain_seconds=settings.serve.drain_seconds,
        replicas=settings.replicas,
        most_replicas=ray.most_replicas,
        waiting_timesteps=ray.waiting_timesteps,
        fewer_after_seconds=ray.fewer_after_seconds,
        tls=None if tls is None else tuple(str(path.absolute()) for path in tls.paths),
        tls_name=INTERNAL_NAME,
        address=ray.address,
        temporary=str(temporary / "ray"),
    )


def python_with_ray(given: Path | None) -> Path:
    """The one that is given, or this one. Raises ClusterFailed."""
    if given is not None:
        return given.absolute()
    if importlib.util.find_spec("ray") is None:
        raise ClusterFailed(
            "there is no Ray beside cellserve; `python -m venv ray && ray/bin/pip install 'ray[serve]'` makes an environment of"
            " its own for it, and --ray-python ray/bin/python names that"
        )
    return Path(sys.executable)


def _show_window(window: Path) -> None:
    """What the other Python sees of cellserve: not the packages that are installed beside it."""
    room = window / "cellserve" / "service" / "cluster"
    room.mkdir(parents=True, exist_ok=True)
    for name in _SHOWN:
        if not (room / name).is_symlink():
            (room / name).symlink_to(_HERE / name)


def _environment(given: Mapping[str, str], window: Path, own: bool) -> dict[str, str]:
    """given: this process's. own: Ray is started, and lets nobody in who does not know its token."""
    path = {"PYTHONPATH": str(window)}
    return {**given, **_ENVIRONMENT, **path, **({"RAY_AUTH_TOKEN": secrets.token_hex(32)} if own else {})}
