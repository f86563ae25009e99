"""What takes calls from the network and hands them to the methods: the seam between the door and a transport.

A front looks a method up by its full name, runs the handler that it is given, and makes of it what gRPC's clients expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import grpc

from cellserve.service.api.facts import ConnectionFact

Metadata = Sequence[tuple[str, str | bytes]]


class Front(Protocol):
    """Build it, `bind`, `start` and `stop` it, once each. On the event loop."""

    @property
    def name(self) -> str: ...

    def bind(self) -> int:
        """Takes the port, and returns it: the system has chosen it if 0 was asked for. Raises CannotListen."""

    async def start(self) -> None: ...

    async def stop(self, grace_seconds: float) -> None:
        """No new calls; those that are under way have the grace, then they are cancelled."""

    def press(self, pressed: bool) -> None:
        """Told whether more calls come than are read, at every measurement of the loop."""


class Watcher(Protocol):
    """Who is told of connections. On the event loop."""

    def on_connection(self, fact: ConnectionFact) -> None: ...


class CallContext(Protocol):
    """What a handler may ask of its call, and tell it: the part of grpc.aio.ServicerContext that is used here."""

    def peer(self) -> str:
        """As gRPC writes it: "ipv4:127.0.0.1:40000"."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""

    def invocation_metadata(self) -> Metadata | None: ...

    async def send_initial_metadata(self, metadata: Metadata) -> None: ...

    def set_trailing_metadata(self, metadata: Metadata) -> None: ...

    def trailing_metadata(self) -> Metadata | None: ...

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def code(self) -> Any: ...

    def set_details(self, details: str) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call. Raises grpc.aio.AbortError."""


class Calls(Protocol):
    """Who knows the methods. Handlers are grpc.RpcMethodHandler; their behaviours take a CallContext."""

    def handler(self, name: str) -> Any:
        """By "/package.Service/Method"; None for one that is not offered."""

    def gated(self, name: str) -> bool:
        """Whether calls of this method may be turned away at present."""

    def turned_away(self, name: str, context: CallContext) -> bool:
        """Whether a call that has come is answered from its headers alone: then `context` has been told the status."""
