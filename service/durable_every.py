"""How often live sequences are written to disk while the server runs, as a setting: `100` (feeds) or `5s` (seconds)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DurableEvery:
    """After so many feeds, or every so many seconds: one of the two."""

    feeds: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> DurableEvery | None:
        """The empty text is never (None). Raises ValueError."""
        if not text:
            return None
        try:
            every = cls(seconds=float(text[:-1])) if text.endswith("s") else cls(feeds=int(text))
        except ValueError:
            every = cls()
        if not 0 < (every.feeds or every.seconds or 0) < math.inf:
            raise ValueError(f"{text!r} is not how often: write a number of feeds, as in 100, or seconds, as in 5s")
        return every
