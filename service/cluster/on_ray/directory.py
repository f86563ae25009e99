"""Who serves where, among servers that come and go: told by themselves, asked by whoever tells Envoy. Knows no Ray.

A server has a name that nobody else has while it lives, the first that is free: so the one that takes the place of another takes
its place on the ring too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

_LOOK_SECONDS: Final = 1.0
Facts = dict[str, Any]


class Directory:
    """lives: whether who has joined (by the name that it gave of itself) still does; may wait on the network."""

    def __init__(self, lives: Callable[[str], bool]) -> None:
        self._lives = lives
        self._names: dict[str, str] = {}  # of who has joined
        self._facts: dict[str, Facts] = {}
        self._version = 0
        self._changed = asyncio.Condition()

    async def join(self, who: str) -> str:
        """Its name here."""
        await self._forget_dead()
        taken = set(self._names.values())
        name = next(name for number in range(len(taken) + 1) if (name := f"replica-{number}") not in taken)
        self._names[who] = name
        return name

    async def tell(self, who: str, facts: Facts) -> None:
        """What is now so of a server, in place of what it told before."""
        if who in self._names:
            self._facts[who] = facts
            await self._change()

    async def leave(self, who: str) -> None:
        if self._names.pop(who, None) is not None:
            self._facts.pop(who, None)
            await self._change()

    async def look(self, seen: int) -> tuple[int, list[Facts]]:
        """As soon as there is something other than at `seen`: its number, and all facts in the order of the names."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._version > seen)
            return self._version, sorted(self._facts.values(), key=lambda facts: (len(facts["name"]), facts["name"]))

    async def watch(self) -> None:
        """Never returns: whoever died without a word is forgotten."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._forget_dead()

    async def _forget_dead(self) -> None:
        for who in tuple(self._names):
            if not await asyncio.to_thread(self._lives, who):
                await self.leave(who)

    async def _change(self) -> None:
        async with self._changed:
            self._version += 1
            self._changed.notify_all()
