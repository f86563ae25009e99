"""Which models' aliases this server may walk: of several on one repository one has the right to a model's at a time.

Asks the repository, in threads. Knows no walks.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Protocol

from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.repository.home import WriteRollout


class Records(Protocol):
    """The part of a repository that gives the right."""

    def walker(self, model: str) -> AbstractContextManager[WriteRollout | None]: ...


class WalkingRights:
    def __init__(self, records: Records) -> None:
        self._records = records
        self._held: dict[str, tuple[AbstractContextManager[WriteRollout | None], WriteRollout]] = {}

    def holds(self, model: str) -> bool:
        return model in self._held

    async def take(self, model: str) -> bool:
        """Unless another server has it; whether it is held. Raises ServiceError."""
        if model not in self._held:
            asked = self._records.walker(model)
            write = await asyncio.to_thread(asked.__enter__)
            if write is None:
                await asyncio.to_thread(asked.__exit__, None, None, None)
                return False
            self._held[model] = (asked, write)
        return True

    async def write(self, model: str, rollout: Rollout) -> None:
        """Down, where the next walker finds it. Raises ServiceError; WalkedElsewhere: the right is another server's by now."""
        _, write = self._held[model]
        await asyncio.to_thread(write, rollout)

    async def give_back(self, model: str) -> None:
        if (held := self._held.pop(model, None)) is not None:
            await asyncio.to_thread(held[0].__exit__, None, None, None)
