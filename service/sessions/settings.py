"""The limits that live sequences keep to. Made from the server's settings in app.py; knows no environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DurableEvery:
    """How often the states are written while the server runs: after so many feeds, or every so many seconds; one of the two."""

    feeds: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> DurableEvery | None:
        """`100` is a hundred feeds, `5s` five seconds, the empty text never (None). Raises ValueError."""
        if not text:
            return None
        try:
            every = cls(seconds=float(text[:-1])) if text.endswith("s") else cls(feeds=int(text))
        except ValueError:
            every = cls()
        if not 0 < (every.feeds or every.seconds or 0) < float("inf"):
            raise ValueError(f"{text!r} is not how often: write a number of feeds, as in 100, or seconds, as in 5s")
        return every


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """idle_seconds: time-out of models that name none; 0: never. max_age_seconds: 0: any. reply_bytes: of all remembered replies
    together, one_reply_bytes of each. memory_bytes: of the states in memory; beyond, the coldest go to `directory`, or, without
    one, are evicted. drain_seconds: how long sequences may go on after their version was replaced.
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
