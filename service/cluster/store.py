"""The Valkey of a cluster on this machine. It writes to disk each second, and begins where it was when it is started again.

Where the parts of a cluster are to know each other, it listens to one user alone, who may do what servers do with their own keys
and nothing else. The password is new with each cluster, and stands on no command line and in no file.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import Final

from cellserve.service.cluster.child import Child
from cellserve.service.cluster.folder import Folder
from cellserve.service.cluster.settings import LOCAL

_USER: Final = "cellserve"
RIGHTS: Final = (
    "-@all +@connection +evalsha +script|load +info +time +get +set +getrange +setrange "
    "+exists +pttl +pexpire +zadd +zrem +zcard +zscore +zrange +zpopmin +zremrangebyscore"
)
_PAUSE_SECONDS: Final = 0.01
_ANSWERS: Final = (b"+PONG", b"-NOAUTH")


class Store:
    """On `port` in all its lives. guarded: only the user of `url` is served. prefix: what its keys begin with. A Program."""

    name = "store"
    drain_seconds = 30.0

    def __init__(self, binary: Path, folder: Folder, port: int, prefix: str, guarded: bool) -> None:
        self._binary = binary
        self._folder = folder
        self._port = port
        self._prefix = prefix
        self._password = secrets.token_urlsafe(32) if guarded else ""

    @property
    def url(self) -> str:
        """For replicas: with the password, where there is one."""
        user = f"{_USER}:{self._password}@" if self._password else ""
        return f"valkey://{user}{LOCAL}:{self._port}"

    @property
    def shown_url(self) -> str:
        return f"valkey://{LOCAL}:{self._port}"

    async def start(self) -> Child:
        settings = {
            "bind": LOCAL,
            "port": str(self._port),
            "dir": f'"{self._folder.store}"',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "logfile": f'"{self._folder.log(self.name)}"',
        }
        configuration = "".join(f"{name} {value}\n" for name, value in settings.items()) + self._users()
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
            reader, writer = await asyncio.open_connection(LOCAL, self._port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(_ANSWERS)
        except OSError:
            return False
        finally:
            writer.close()

    def _users(self) -> str:
        if not self._password:
            return ""
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        return f"user default off\nuser {_USER} on #{digest} ~{{{self._prefix}}}:* {RIGHTS}\n"
