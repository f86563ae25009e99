"""The front that is gRPC's own server. Knows no methods."""

from __future__ import annotations

from typing import Any, Final

import grpc

from cellserve.service.api.access.tls import server_credentials
from cellserve.service.api.fronts.front import Calls
from cellserve.service.api.fronts.grpc.acceptors import Acceptors
from cellserve.service.api.fronts.grpc.gated import GatedHandlers
from cellserve.service.api.fronts.options import CannotListen, ServerOptions
from cellserve.service.process.wakeups import PatientThreads


class GrpcFront:
    """A Front."""

    name: Final = "grpc"

    def __init__(self, calls: Calls, options: ServerOptions) -> None:
        """Raises UnusableFile: one of `options`."""
        self._options = options
        self._credentials = None if options.tls is None else server_credentials(options.tls)
        handlers = (GatedHandlers(calls),)
        self._pollers = PatientThreads()
        with self._pollers.started():  # gRPC's poller, a tenth of all CPU under load where it interrupts the event loop
            self._server = grpc.aio.server(handlers=handlers, options=_channel_options(options))
        self._acceptors = Acceptors(self._server, handlers)

    def bind(self) -> int:
        address = f"{_bracketed(self._options.host)}:{self._options.port}"
        try:
            port: int = (
                self._server.add_insecure_port(address)
                if self._credentials is None
                else self._server.add_secure_port(address, self._credentials)
            )
        except RuntimeError as error:
            raise CannotListen(
                f"cannot listen on {address}: the port is taken, or the address is not one of this machine"
            ) from error
        return port

    async def start(self) -> None:
        await self._server.start()
        self._acceptors.start()

    async def stop(self, grace_seconds: float) -> None:
        await self._server.stop(grace_seconds)

    def press(self, pressed: bool) -> None:
        """Each call that is refused needs the pollers, and no core is idle then."""
        self._pollers.hurry(pressed)

    def behind_seconds(self) -> float:
        """gRPC reads in threads of its own."""
        return 0.0


def _channel_options(options: ServerOptions) -> list[tuple[str, Any]]:
    given: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_concurrent_streams", options.max_concurrent_calls),
        ("grpc.so_reuseport", 0),  # two servers on one port would share its calls silently
        ("grpc.keepalive_time_ms", _milliseconds(options.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(options.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(options.min_ping_interval_seconds)),
    ]
    if options.max_connection_age_seconds:
        given += [
            ("grpc.max_connection_age_ms", _milliseconds(options.max_connection_age_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(options.max_connection_age_grace_seconds)),
        ]
    return given


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
