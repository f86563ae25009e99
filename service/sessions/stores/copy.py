"""What a replica knows of the record of a sequence that it works with, beside the state. Plain."""

from __future__ import annotations

from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.stores.record import LastFeed
from cellserve.service.sessions.stores.store import NOTHING


class StoredCopy:
    """stamp: of the record that the copy is made from, NOTHING: no live one is known. epoch: of the sequence, empty: none.

    seen: in this turn the store was asked, or took what was written. unsure: a write was begun, and how it ended is not known.
    unwritten: feeds applied here since the last write; written_seconds: when that was. created_seconds: since 1970. last: the
    request that was applied last, on `version`, after which the sequence stood at `position`.
    """

    __slots__ = (
        "created_seconds",
        "epoch",
        "identity",
        "last",
        "position",
        "seen",
        "stamp",
        "unsure",
        "unwritten",
        "version",
        "written_seconds",
    )

    def __init__(self, stamp: bytes = NOTHING) -> None:
        self.stamp = stamp
        self.epoch = ""
        self.identity = b""
        self.created_seconds = 0.0
        self.written_seconds = 0.0
        self.unwritten = 0
        self.seen = False
        self.unsure = False
        self.last: LastFeed | None = None
        self.position = 0
        self.version: LoadedVersion | None = None
