"""How much memory may be stored between the passes of one lane's sequences, and who may take of it. Pure counting of bytes.

Whoever takes some must leave as much again free, so that the large leave room for the small; one at a time may take what it needs
all the same, so that nobody is too large. Hence at most the limit and the needs of one more are taken. Knows no sequences.
"""

from __future__ import annotations


class StorageQuota:
    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken: dict[int, int] = {}
        self._taken_bytes = 0
        self._beyond: int | None = None  # who has been let in beyond the limit

    @property
    def holders(self) -> int:
        return len(self._taken) + (self._beyond is not None)

    @property
    def taken_bytes(self) -> int:
        """What is taken within the limit."""
        return self._taken_bytes

    def take(self, identity: int, needed_bytes: int) -> bool:
        """False if there is no room."""
        if self._taken_bytes + 2 * needed_bytes <= self._most_bytes:
            self._taken[identity] = needed_bytes
            self._taken_bytes += needed_bytes
            return True
        if self._beyond is None:
            self._beyond = identity
            return True
        return False

    def give_back(self, identity: int) -> None:
        """Nothing happens if it has taken none."""
        if identity == self._beyond:
            self._beyond = None
        self._taken_bytes -= self._taken.pop(identity, 0)
