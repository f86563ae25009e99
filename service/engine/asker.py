"""On whose behalf work comes, as far as it matters to who may enter and when. Knows no connection and no token's meaning."""

from __future__ import annotations

from typing import NamedTuple


class Asker(NamedTuple):
    """client: whose share the work counts in. live: a feed of a live sequence, which is not refused because others wait.

    ticket: what a refusal gave it, to come back with; empty: none. way_seconds: how long it is from the client to the engine and
    back, which its deadline must leave. split_key: of requests that should get the same version of an alias that is split.
    """

    client: str = ""
    live: bool = False
    ticket: str = ""
    way_seconds: float = 0.0
    split_key: str = ""


ANYBODY = Asker()
