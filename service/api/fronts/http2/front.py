"""The front on HTTP/2 frames: listens, keeps the connections, and ends them in order. Knows no methods."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from cellserve.service.api.access.tls import server_context
from cellserve.service.api.facts import ConnectionEnd, ConnectionFact
from cellserve.service.api.fronts.front import Calls, Watcher
from cellserve.service.api.fronts.http2.bounds.holdings import Holdings
from cellserve.service.api.fronts.http2.call import Call
from cellserve.service.api.fronts.http2.connection import Connection
from cellserve.service.api.fronts.http2.listening import BACKLOG, listen
from cellserve.service.api.fronts.http2.starts import Starts
from cellserve.service.api.fronts.http2.tls import PROTOCOL, TlsListener
from cellserve.service.api.fronts.http2.unread import Unread
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.counted_log import CountedLog
from cellserve.service.followed_files import FollowedFiles

_LOOKED_SECONDS: Final = 0.02  # how often it is seen whether the last call has ended
_LAST_WORDS_SECONDS: Final = 0.2
_OFFENCES: Final = "%(total)d connections ended for what their clients did (%(causes)s), lastly %(last)s"


class Http2Front:
    """A Front."""

    name = "http2"

    def __init__(self, calls: Calls, options: ServerOptions, watcher: Watcher) -> None:
        """Raises UnusableFile: one of `options`."""
        self._watcher = watcher
        self._offences = CountedLog(_OFFENCES)
        self._holdings = Holdings(options.connection_memory_bytes)
        self._encrypted: list[TlsListener] = []
        self._stopping = False
        self._calls = calls
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._starts = Starts(self._loop)
        self._unread = Unread(self._loop.time())
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
        for one in self._sockets:
            if self._identity is None:
                self._servers.append(await self._loop.create_server(self._made, sock=one, backlog=BACKLOG))
            else:
                self._encrypted.append(TlsListener(one, self._identity.current, self._made, self._failed, self._loop))

    def press(self, pressed: bool) -> None:
        """Connections know by what they turn away; they learn here that time passes."""
        self._offences.settle()
        now_seconds = self._loop.time()
        for connection in self._connections:
            connection.relax(now_seconds)

    def behind_seconds(self) -> float:
        unread_bytes = sum(connection.unread_bytes for connection in self._connections)
        return self._unread.behind_seconds(self._loop.time(), unread_bytes)

    def waited_seconds(self) -> float:
        return self._starts.waited_seconds()

    async def stop(self, grace_seconds: float) -> None:
        self._stopping = True
        for server in self._servers:
            server.close()
        for listener in self._encrypted:
            listener.close()
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
        self._tell(None)
        if self._stopping:
            connection.leave()

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._tell(connection.end_cause)

    def cut(self, connection: Connection, why: str) -> None:
        self._offences.count(connection.end_cause, last=f"{connection.peer}: {why}")

    def ready(self, call: Call) -> None:
        self._starts.add(call)

    def received(self, received_bytes: int) -> None:
        self._unread.received(received_bytes)
        self.sent(received_bytes)

    def sent(self, sent_bytes: int) -> None:
        if self._holdings.due(sent_bytes):
            self._loop.call_soon(self._look_at_holdings)

    def _failed(self, peer: str, why: str) -> None:
        """No encrypted connection came about."""
        self._tell("handshake")
        self._offences.count("handshake", last=f"{peer}: {why}")

    def _look_at_holdings(self) -> None:
        held = [(connection.held_bytes, connection) for connection in self._connections]
        for held_bytes, connection in self._holdings.beyond(held):
            connection.cut_for_memory(held_bytes)

    def _tell(self, end: ConnectionEnd | None) -> None:
        self._watcher.on_connection(ConnectionFact(len(self._connections), end))

    def _made(self) -> asyncio.Protocol:
        return Connection(self._calls, self._options, self, self._loop)
