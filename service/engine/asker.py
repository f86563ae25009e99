"""On whose behalf work comes, as far as it matters to who may enter and when. Knows no connection and no token's meaning."""

from __future__ import annotations

from typing import NamedTuple


class Asker(NamedTuple):
    """client: whose share the work counts in. live: a feed of a live sequence, which is not refused because others wait.

    ticket: what a refusal gave it, to come back with; empty: none.
    """

    client: str = ""
    live: bool = False
    ticket: str = ""


ANYBODY = Asker()
