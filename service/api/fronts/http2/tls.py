"""TLS in front of a connection, with whatever the files hold when it comes. Knows no HTTP/2 but its name in the handshake."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final

_log = logging.getLogger(__name__)

PROTOCOL: Final = "h2"
_HANDSHAKE_SECONDS: Final = 20.0


class TlsHandshake(asyncio.Protocol):
    """A connection until it is encrypted. context: asked at each one. made: makes the protocol that goes on then."""

    def __init__(
        self, context: Callable[[], ssl.SSLContext], made: Callable[[], asyncio.Protocol], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._context = context
        self._made = made
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        transport.pause_reading()  # what comes belongs to the handshake
        self._task = self._loop.create_task(self._encrypt(transport))

    async def _encrypt(self, transport: Any) -> None:
        protocol = _Encrypted(self._made())
        try:
            encrypted: Any = await self._loop.start_tls(
                transport, protocol, self._context(), server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError) as error:
            _log.debug("no TLS with %s: %s", transport.get_extra_info("peername"), error)
            transport.abort()
            return
        if encrypted.get_extra_info("ssl_object").selected_alpn_protocol() != PROTOCOL:
            _log.debug("%s does not speak HTTP/2", transport.get_extra_info("peername"))
            encrypted.abort()
            return
        protocol.begin(encrypted)


class _Encrypted(asyncio.Protocol):
    """Keeps what comes between the end of the handshake and the begin of the protocol behind it."""

    def __init__(self, behind: asyncio.Protocol) -> None:
        self._behind = behind
        self._early: list[bytes] | None = []
        self._lost = False

    def begin(self, transport: Any) -> None:
        early, self._early = self._early or [], None
        if self._lost:
            return
        transport.set_protocol(self._behind)
        self._behind.connection_made(transport)
        for data in early:
            self._behind.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
