"""A store in memory: what any store must do, in the fewest words, with a clock and accidents that tests move by hand."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from cellserve.service.errors import StoreUnavailable
from cellserve.service.sessions.stores.record import Kind, stamp_of
from cellserve.service.sessions.stores.store import NOTHING, RUN_BYTES, STAMP_BYTES, Found, Listed, Write, is_live
from cellserve.service.sessions.tombstones import SessionKey
from tests.fakes import FakeClock

GRACE_SECONDS = 60.0


def new_run() -> bytes:
    return secrets.token_hex(RUN_BYTES // 2).encode()


@dataclass
class Kept:
    content: bytes
    ends_seconds: float | None

    @property
    def live(self) -> bool:
        return is_live(self.content)


@dataclass
class MemoryStore:
    """most: live records. away: cannot be reached. dropping: the next replies are lost, whatever was done."""

    clock: FakeClock
    most: int = 1000
    away: bool = False
    dropping: int = 0
    run: bytes = field(default_factory=new_run)
    records: dict[SessionKey, Kept] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0
    gate: asyncio.Event | None = None

    async def load(self, key: SessionKey) -> Found:
        await self._reach()
        self.reads += 1
        kept = self._present(key)
        if kept is None:
            return Found(None, self.run)
        left = None if kept.ends_seconds is None else kept.ends_seconds - self.clock()
        return Found(kept.content, self.run, left)

    async def write(self, write: Write) -> bytes | None:
        await self._reach()
        if self.gate is not None:
            await self.gate.wait()
        self.writes += 1
        content = self.run + write.content
        kept = self._present(write.key)
        now = NOTHING if kept is None else stamp_of(kept.content)
        expected = write.expected == now or (write.expected == NOTHING and kept is not None and not kept.live)
        same_run = write.accepts or write.expected == NOTHING or write.expected[:RUN_BYTES] == self.run
        over = kept is not None and kept.ends_seconds is not None and kept.ends_seconds <= self.clock()
        if not (expected and same_run) or (over and not write.begins):
            return None
        if write.begins and is_live(content):
            self._make_place(write.key)
        seconds = write.seconds
        self.records[write.key] = Kept(content, None if seconds is None else self.clock() + seconds)
        if self.dropping:
            self.dropping -= 1
            raise StoreUnavailable("the reply was lost")
        return stamp_of(content)

    async def listed(self, head_bytes: int) -> list[Listed]:
        await self._reach()
        found = [kept for key in list(self.records) if (kept := self._present(key)) is not None and kept.live]
        lefts = [None if kept.ends_seconds is None else kept.ends_seconds - self.clock() for kept in found]
        return [Listed(kept.content[:head_bytes], left) for kept, left in zip(found, lefts) if left is None or left > 0]

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def restart(self, *, back_to: dict[SessionKey, Kept] | None = None) -> None:
        """As after a kill: with everything, or with what was there earlier."""
        self.run = new_run()
        self.records = dict(self.records if back_to is None else back_to)

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("the store is away")

    def _present(self, key: SessionKey) -> Kept | None:
        kept = self.records.get(key)
        if kept is not None and kept.ends_seconds is not None and kept.ends_seconds + GRACE_SECONDS <= self.clock():
            del self.records[key]
            return None
        return kept

    def _make_place(self, key: SessionKey) -> None:
        live = {
            other: kept
            for other, kept in self.records.items()
            if kept.live and other != key and (kept.ends_seconds is None or kept.ends_seconds > self.clock())
        }
        while len(live) >= self.most:
            first = min(live, key=lambda other: live[other].ends_seconds or float("inf"))
            content = live.pop(first).content
            evicted = content[: STAMP_BYTES - 1] + bytes([Kind.EVICTED]) + content[STAMP_BYTES:]
            self.records[first] = Kept(evicted, self.clock() + GRACE_SECONDS)
