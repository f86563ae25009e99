"""What handlers and guards see of a call, whichever front has taken it: who calls, until when, and how it may end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, Protocol

import grpc

Metadata = Sequence[tuple[str, str | bytes]]


class Ending(NamedTuple):
    """How a call ends that is not answered. trailing: of its metadata."""

    code: grpc.StatusCode
    details: str
    trailing: Metadata


class Caller(Protocol):
    """Who calls, as far as headers tell."""

    def peer(self) -> str:
        """As gRPC writes it: "ipv4:127.0.0.1:40000"."""

    def invocation_metadata(self) -> Metadata | None: ...


class CallContext(Caller, Protocol):
    """What a handler may ask of its call, and tell it: the part of grpc.aio.ServicerContext that is used here."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""

    async def send_initial_metadata(self, metadata: Metadata) -> None: ...

    def set_trailing_metadata(self, metadata: Metadata) -> None: ...

    def trailing_metadata(self) -> Metadata | None: ...

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def code(self) -> Any: ...

    def set_details(self, details: str) -> None: ...

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call. Raises grpc.aio.AbortError."""
