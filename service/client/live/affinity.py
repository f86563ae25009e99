"""By what a proxy before several servers tells which live sequence a request belongs to, so that it finds its server. Pure.

A hint: whichever server gets the request answers it, where they share a store. Knows no channel.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

SEQUENCE_HEADER: Final = "x-sequence-id"
_LONGEST_CHARACTERS: Final = 256  # a longer id is no server's

Metadata = tuple[tuple[str, str], ...]


def sequence_of(request: Any) -> str:
    """The id of the live sequence that a request of the service Sequences is about; empty: of none."""
    return str(getattr(request, "sequence_id", ""))


def affinity(sequence_id: str) -> Metadata:
    """Metadata may hold ASCII only, so an id is written as in a URL. Nothing for an empty one."""
    if not 0 < len(sequence_id) <= _LONGEST_CHARACTERS:
        return ()
    return ((SEQUENCE_HEADER, quote(sequence_id, safe="")),)
