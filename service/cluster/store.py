"""The Valkey of a cluster on this machine. It writes to disk each second, and begins where it was when it is started again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.folder import Folder

_LOCAL: Final = "127.0.0.1"
_PAUSE_SECONDS: Final = 0.01
_ANSWERS: Final = (b"+PONG", b"-NOAUTH")


class Store:
    """On `port` in all its lives. A Program."""

    name = "store"
    drain_seconds = 30.0

    def __init__(self, binary: Path, folder: Folder, port: int) -> None:
        self._binary = binary
        self._folder = folder
        self._port = port

    @property
    def url(self) -> str:
        return f"valkey://{_LOCAL}:{self._port}"

    async def start(self) -> Child:
        settings = {
            "bind": _LOCAL,
            "port": str(self._port),
            "dir": f'"{self._folder.store}"',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "logfile": f'"{self._folder.log(self.name)}"',
        }
        configuration = "".join(f"{name} {value}\n" for name, value in settings.items())
        return await Child.start((str(self._binary), "-"), self._folder.log(self.name), stdin=configuration)

    async def ready(self, child: Child) -> bool:
        """When it has read what it kept: before, it says LOADING."""
        while child.lives:
            if await self._answers():
                return True
            await asyncio.sleep(_PAUSE_SECONDS)
        return False

    async def unwell(self, child: Child) -> None:
        """A store that is slow is waited for: killing it would lose what it has not written."""
        await asyncio.Event().wait()

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(_LOCAL, self._port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(_ANSWERS)
        except OSError:
            return False
        finally:
            writer.close()
