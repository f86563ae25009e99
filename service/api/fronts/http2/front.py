"""The front on HTTP/2 frames: listens, keeps the connections, and ends them in order. Knows no methods."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from cellserve.service.api.access.tls import server_context
from cellserve.service.api.fronts.front import Calls
from cellserve.service.api.fronts.http2.connection import Connection
from cellserve.service.api.fronts.http2.listening import listen
from cellserve.service.api.fronts.http2.tls import PROTOCOL, TlsHandshake
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.followed_files import FollowedFiles

_LOOKED_SECONDS: Final = 0.02  # how often it is seen whether the last call has ended
_RELAXED_SECONDS: Final = 0.5  # after all calls were read again
_LAST_WORDS_SECONDS: Final = 0.2


class Http2Front:
    """A Front."""

    name = "http2"

    def __init__(self, calls: Calls, options: ServerOptions) -> None:
        """Raises UnusableFile: one of `options`."""
        self._calls = calls
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._pressed_seconds = float("-inf")
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._identity: FollowedFiles[ssl.SSLContext] | None = (
            None if options.tls is None else server_context(options.tls, PROTOCOL)
        )

    def bind(self) -> int:
        self._sockets = listen(self._options.host, self._options.port)
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        accept = self._plain if self._identity is None else self._encrypted
        for one in self._sockets:
            self._servers.append(await self._loop.create_server(accept, sock=one))

    def press(self, pressed: bool) -> None:
        """While not all calls are read, clients send messages only of those that are."""
        now_seconds = self._loop.time()
        if pressed:
            self._pressed_seconds = now_seconds
        narrow = now_seconds - self._pressed_seconds < _RELAXED_SECONDS
        for connection in self._connections:
            connection.narrow(narrow)

    async def stop(self, grace_seconds: float) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.leave()
        end_seconds = self._loop.time() + grace_seconds
        while self._connections and self._loop.time() < end_seconds:
            await asyncio.sleep(_LOOKED_SECONDS)
        for connection in list(self._connections):
            connection.end()
        end_seconds = self._loop.time() + _LAST_WORDS_SECONDS
        while self._connections and self._loop.time() < end_seconds:
            await asyncio.sleep(_LOOKED_SECONDS)

    # --- what connections tell ---

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def cut(self, cause: str) -> None: ...

    def _plain(self) -> asyncio.Protocol:
        return Connection(self._calls, self._options, self, self._loop)

    def _encrypted(self) -> asyncio.Protocol:
        assert self._identity is not None
        return TlsHandshake(self._identity.current, self._plain, self._loop)
