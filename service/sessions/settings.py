"""The limits that live sequences keep to. Made from the server's settings in app.py; knows no environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellserve.service.durable_every import DurableEvery


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """idle_seconds: time-out of models that name none; 0: never. max_age_seconds: 0: any. reply_bytes: of all remembered replies
    together, one_reply_bytes of each. memory_bytes: of the states in memory; beyond, the coldest go to `directory`, or, without
    one, are evicted. drain_seconds: how long sequences may go on after their version was replaced. shared: the truth is in a
    store, and what is here may be dropped; replica: who this is among those who share it; write_every_feeds: of each sequence.
    """

    idle_seconds: float = 600.0
    max_age_seconds: float = 0.0
    max_sessions: int = 200_000
    memory_bytes: int = 2 << 30
    drain_seconds: float = 600.0
    directory: Path | None = None
    durable_every: DurableEvery | None = None
    reply_bytes: int = 32 << 20
    one_reply_bytes: int = 64 << 10
    max_tombstones: int = 100_000
    shared: bool = False
    replica: str = ""
    write_every_feeds: int = 1
