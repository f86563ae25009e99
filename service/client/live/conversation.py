"""What a live sequence asks of its server, one request after the other. Pure; knows no channel and no sequence."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, TypeVar

from cellserve.service.errors import (
    InvalidInput,
    NotOffered,
    Overloaded,
    ServiceError,
    UnknownImplementation,
    UnsupportedImplementation,
    VersionUnavailable,
)

REFUSED: Final = (  # before anything was done
    InvalidInput,
    NotOffered,
    Overloaded,
    UnknownImplementation,
    UnsupportedImplementation,
    VersionUnavailable,
)

Result = TypeVar("Result")


class Ask:
    """One request. maybe_applied: set by the client when it sends it again and does not know what became of an earlier copy."""

    __slots__ = ("maybe_applied", "request")

    def __init__(self, request: Any) -> None:
        self.request = request
        self.maybe_applied = False

    def failed(self, error: ServiceError) -> None:
        """A copy was answered with `error`, and it will be sent again."""
        if not isinstance(error, REFUSED):
            self.maybe_applied = True


Talk = Generator[Ask, Any, Result]


def asking(request: Any) -> Talk[Any]:
    """The conversation of one request and its reply."""
    return (yield Ask(request))
