"""One call at the door: its id, and what is learnt about it on the way for logs and metrics.

Each rpc runs in a task of its own, so a context variable hands the call to whoever works for it. Knows no messages.
"""

from __future__ import annotations

import itertools
import secrets
from contextvars import ContextVar
from dataclasses import dataclass

from cellserve.service.engine.facts import VersionKey


@dataclass(slots=True)
class Call:
    """All but the id as in RequestFact, filled in on the way."""

    request_id: str
    version: VersionKey | None = None
    implementation: str = ""
    queue_seconds: float | None = None
    compute_seconds: float | None = None


CURRENT: ContextVar[Call] = ContextVar("cellserve_call")


class RequestIds:
    """Ids that no two requests of this or another server process share, cheap to make."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}-{next(self._numbers):06x}"
