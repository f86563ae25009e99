"""Epochs: what tells one life of a sequence from another of the same id, and a server from the one before its restart.

An epoch is the server's token, new at each start, and the number of the life. Pure.
"""

from __future__ import annotations

import itertools
import secrets


class Epochs:
    def __init__(self) -> None:
        self.server = secrets.token_hex(4)
        self._lives = itertools.count(1)

    def new_life(self) -> int:
        return next(self._lives)

    def of(self, life: int) -> str:
        """As clients hear it."""
        return f"{self.server}-{life:x}"

    def is_ours(self, epoch: str) -> bool:
        """Whether a client heard it from this server since its start."""
        return epoch.partition("-")[0] == self.server
