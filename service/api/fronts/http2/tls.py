"""TLS in front of a connection, with whatever the files hold when it comes. Knows no HTTP/2 but its name in the handshake."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

from cellserve.service.api.fronts.http2.peer import peer_of

PROTOCOL: Final = "h2"
_HANDSHAKE_SECONDS: Final = 20.0


class Handshakes(Protocol):
    """Who keeps them."""

    def begun(self, handshake: TlsHandshake) -> None: ...

    def done(self, handshake: TlsHandshake, failure: str | None) -> None:
        """failure: why there is no encrypted connection."""


class TlsHandshake(asyncio.Protocol):
    """A connection until it is encrypted. context: asked at each one. made: makes the protocol that goes on then."""

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        made: Callable[[], asyncio.Protocol],
        handshakes: Handshakes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._context = context
        self._made = made
        self._handshakes = handshakes
        self.peer = ""
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        transport.pause_reading()  # what comes belongs to the handshake
        self.peer = peer_of(transport)
        self._handshakes.begun(self)
        self._task = self._loop.create_task(self._answered(transport))

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _answered(self, transport: Any) -> None:
        failure: str | None = "it was cut short"
        try:
            failure = await self._encrypt(transport)
        except asyncio.CancelledError:
            transport.abort()
        finally:
            self._handshakes.done(self, failure)

    async def _encrypt(self, transport: Any) -> str | None:
        """Why not, if it did not succeed."""
        protocol = _Encrypted(self._made())
        try:
            encrypted: Any = await self._loop.start_tls(
                transport, protocol, self._context(), server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError) as error:
            transport.abort()
            return f"no TLS: {str(error) or type(error).__name__}"
        if encrypted.get_extra_info("ssl_object").selected_alpn_protocol() != PROTOCOL:
            encrypted.abort()
            return "no TLS for HTTP/2: it does not offer the protocol h2 (ALPN)"
        protocol.begin(encrypted)
        return None


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
