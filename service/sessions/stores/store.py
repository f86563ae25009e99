"""What a store that replicas share must do: keep one record for each sequence, and replace it only for whoever knows it.

A store knows no model and no state: a record is bytes that begin with a stamp, and to know a record is to name its stamp. The
stamp begins with the run of the store that it was written in: a store that has restarted since may have lost later ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from cellserve.service.sessions.tombstones import SessionKey

RUN_BYTES: Final = 16
STAMP_BYTES: Final = 41
"""Run of the store [16], position [8], token [16], kind [1]: no two writes have the same, and an eviction changes the kind."""
LIVE: Final = 0
"""The kind of a record whose sequence is live."""
NOTHING: Final = b""
"""As the stamp that is expected: no live record."""


class Write(NamedTuple):
    """content: the record without its run, which the store adds. expected: the stamp of what it replaces; NOTHING: no live one.

    seconds: how long it counts, on the store's clock; None: for ever. begins: one sequence more, for which the one that would
    expire first makes place where all are taken; nothing else replaces a record that has expired. accepts: also if the store has
    restarted since `expected` was written.
    """

    key: SessionKey
    content: bytes
    expected: bytes
    seconds: float | None
    begins: bool = False
    accepts: bool = False


class Found(NamedTuple):
    """content: with its run; None: there is nothing. run: the store's. seconds: how long it still counts; None: for ever."""

    content: bytes | None
    run: bytes
    seconds: float | None = None


class Listed(NamedTuple):
    """head: the first bytes of a live record. seconds: as in Found."""

    head: bytes
    seconds: float | None


class Store(Protocol):
    """Lives on the event loop. Every method raises StoreUnavailable."""

    async def load(self, key: SessionKey) -> Found: ...

    async def write(self, write: Write) -> bytes | None:
        """The stamp that it has now; None: the store holds another one than was expected, and is as it was."""

    async def listed(self, head_bytes: int) -> list[Listed]:
        """Every live record, in no order."""

    async def start(self) -> None:
        """Raises nothing: a store that is away is waited for."""

    async def stop(self) -> None: ...


def is_live(content: bytes) -> bool:
    """Of a record with its run."""
    return content[STAMP_BYTES - 1 : STAMP_BYTES] == bytes([LIVE])
