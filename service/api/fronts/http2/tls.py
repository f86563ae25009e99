"""Connections that are encrypted first, each with whatever the files hold when it comes. Knows no HTTP/2 but its name in the
handshake.

They are accepted here, not by a server of asyncio's, which knows one context for all. Nor are they encrypted by start_tls: what
has come before it is called is lost on uvloop, whose transports read whatever they are told while they are made.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from cellserve.service.api.fronts.http2.peer import peer_of_name

_log = logging.getLogger(__name__)

PROTOCOL: Final = "h2"
_HANDSHAKE_SECONDS: Final = 20.0
_EXHAUSTED_SECONDS: Final = 1.0  # when no more can be taken: out of descriptors


class TlsListener:
    """On the event loop. context: asked at each connection. made: makes the protocol behind. failed: told of who, and why not."""

    def __init__(
        self,
        listener: socket.socket,
        context: Callable[[], ssl.SSLContext],
        made: Callable[[], asyncio.Protocol],
        failed: Callable[[str, str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._listener = listener
        self._context = context
        self._made = made
        self._failed = failed
        self._loop = loop
        self._accepting = loop.create_task(self._accept())
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def handshakes(self) -> int:
        """Under way."""
        return len(self._handshakes)

    def close(self) -> None:
        """Handshakes that are under way end, too."""
        self._accepting.cancel()
        self._accepting.add_done_callback(lambda _: self._listener.close())
        for handshake in self._handshakes:
            handshake.cancel()

    async def _accept(self) -> None:
        while True:
            try:
                connection, name = await self._loop.sock_accept(self._listener)
            except OSError as error:
                _log.warning("no more connections can be taken for the moment: %s", error)
                await asyncio.sleep(_EXHAUSTED_SECONDS)
                continue
            handshake = self._loop.create_task(self._answered(connection, peer_of_name(name)))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _answered(self, connection: socket.socket, peer: str) -> None:
        failure: str | None = "it was cut short"
        try:
            failure = await self._encrypt(connection)
        except asyncio.CancelledError:
            connection.close()
        finally:
            if failure is not None:
                self._failed(peer, failure)

    async def _encrypt(self, connection: socket.socket) -> str | None:
        """Why not, if it did not succeed."""
        encrypted = _Encrypted(self._made)
        try:
            await self._loop.connect_accepted_socket(
                lambda: encrypted, connection, ssl=self._context(), ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError) as error:
            connection.close()
            return f"no TLS: {str(error) or type(error).__name__}"
        return None if encrypted.speaks_http2 else "no TLS for HTTP/2: it does not offer the protocol h2 (ALPN)"


class _Encrypted(asyncio.Protocol):
    """Gives way to the protocol behind once it is known that the client speaks it."""

    def __init__(self, made: Callable[[], asyncio.Protocol]) -> None:
        self._made = made
        self.speaks_http2 = False

    def connection_made(self, transport: Any) -> None:
        self.speaks_http2 = transport.get_extra_info("ssl_object").selected_alpn_protocol() == PROTOCOL
        if not self.speaks_http2:
            transport.abort()
            return
        behind = self._made()
        transport.set_protocol(behind)
        behind.connection_made(transport)
