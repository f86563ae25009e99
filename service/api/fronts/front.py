"""What takes calls from the network and hands them to the methods: the seam between the door and a transport.

A front looks a method up by its full name, runs the handler that it is given, and makes of it what gRPC's clients expect.
"""

from __future__ import annotations

from typing import Any, Protocol

from cellserve.service.api.call_context import Caller, Ending
from cellserve.service.api.facts import ConnectionFact


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

    def behind_seconds(self) -> float:
        """How long it takes to read what has come and was not read yet; 0 where that cannot be told. Asked as often."""


class Watcher(Protocol):
    """Who is told of connections. On the event loop."""

    def on_connection(self, fact: ConnectionFact) -> None: ...


class Calls(Protocol):
    """Who knows the methods. Handlers are grpc.RpcMethodHandler; their behaviours take a CallContext."""

    def gated(self, name: str) -> bool:
        """Whether calls of this method may be turned away at present. Asked first, once for each call."""

    def handler(self, name: str) -> Any:
        """Of a call that has come, of a method that is not gated; None for one that is not offered.

        name: "/package.Service/Method".
        """

    def let_in(self, name: str, caller: Caller, waited_seconds: float = 0.0) -> Any:
        """The same of a gated method, or by the call's headers alone the Ending with which it is turned away.

        waited_seconds: how long the call that begins next waits already.
        """

    def given_up(self, name: str) -> Ending | None:
        """How a call ends that was let in, and whose message other messages hold up; None: it may go on waiting."""

    def not_offered(self, name: str) -> Ending:
        """How a call ends whose method is none of ours."""
