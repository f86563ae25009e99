"""A store in a Valkey or Redis server. Knows no sequences: records are bytes, compared and replaced by scripts in the server.

All writes of one turn go in one call of a script. Whatever fails, fails as StoreUnavailable, and the watch is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from valkey.asyncio import Valkey
from valkey.exceptions import NoScriptError, ValkeyError

from cellserve.service.sessions.stores.connecting import connected
from cellserve.service.sessions.stores.scripts import COUNT, HEADS, LOAD, REFUSED, WRITE
from cellserve.service.sessions.stores.store import Found, Listed, Write
from cellserve.service.sessions.stores.turns import Turns
from cellserve.service.sessions.stores.watch import NoStoreObserver, StoreObserver, StoreWatch
from cellserve.service.sessions.tombstones import SessionKey
from cellserve.service.store_url import StoreUrl

_GRACE_SECONDS: Final = 60.0  # how long it is known why a sequence ended
_LISTED_AT_ONCE: Final = 1000


class ValkeyStore:
    """prefix: what keeps clusters apart that share a server. most: live sequences; 0: any number. replica: who asks."""

    def __init__(
        self,
        url: StoreUrl,
        prefix: str,
        most: int,
        replica: str = "",
        observer: StoreObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connected = connected(url, client_name=_client_name(prefix, replica))
        self._client, self._writer = self._connected.client, self._connected.writer
        self._tag = f"{{{prefix}}}:"
        self._index = f"{self._tag}live".encode()
        self._limits = (_milliseconds(_GRACE_SECONDS), str(most))
        self._observer = observer or NoStoreObserver()
        self._clock = clock
        self._hashes: dict[str, str] = {}
        self._turns = Turns(self._write_together)
        self.watch = StoreWatch(str(url), self._count, self._observer, clock)

    async def start(self) -> None:
        await self.watch.start()

    async def stop(self) -> None:
        await self.watch.stop()
        await self._turns.settle()
        await self._connected.close()

    async def load(self, key: SessionKey) -> Found:
        self.watch.require_there()
        content, left_milliseconds, run = await self._call("load", 1, LOAD, (self._key(key),))
        return Found(content, run, _left_seconds(left_milliseconds))

    async def write(self, write: Write) -> bytes | None:
        self.watch.require_there()
        return await self._turns.write(write)

    async def listed(self, head_bytes: int) -> list[Listed]:
        self.watch.require_there()
        found: dict[bytes, Listed] = {}
        start = 0
        while keys := await self._answered(self._client.zrange(self._index, start, start + _LISTED_AT_ONCE - 1)):
            heads = await self._call("list", len(keys), HEADS, keys, (str(head_bytes),))
            for key, (head, left_milliseconds) in zip(keys, heads):
                left = _left_seconds(left_milliseconds)
                if head and (left is None or left > 0):
                    found[key] = Listed(head, left)
            start += len(keys)
        return list(found.values())

    # --- the work behind them ---

    async def _write_together(self, writes: Sequence[Write]) -> list[bytes | None]:
        keys: list[bytes] = [self._index]
        arguments: list[str | bytes] = [*self._limits]
        for write in writes:
            keys.append(self._key(write.key))
            left = "" if write.seconds is None else _milliseconds(write.seconds)
            flags = ("b" if write.begins else "") + ("a" if write.accepts else "")
            arguments += (write.expected, write.content, left, flags)
        stamps = await self._call("write", len(writes), WRITE, keys, arguments, self._writer)
        return [None if stamp == REFUSED else stamp for stamp in stamps]

    async def _call(
        self,
        operation: str,
        records: int,
        script: str,
        keys: Sequence[bytes],
        arguments: Sequence[str | bytes] = (),
        client: Valkey | None = None,
    ) -> Any:
        began = self._clock()
        done = await self._answered(self._evaluated(script, keys, arguments, client or self._client))
        self._observer.on_store_call(operation, records, self._clock() - began)
        return done

    async def _evaluated(self, script: str, keys: Sequence[bytes], arguments: Sequence[str | bytes], client: Valkey) -> Any:
        """By the script's hash, which a server that has restarted does not know."""
        known = self._hashes.get(script)
        if known is not None:
            try:
                return await client.evalsha(known, len(keys), *keys, *arguments)  # type: ignore[misc,arg-type]
            except NoScriptError:
                self._hashes.pop(script, None)  # another may have learnt it at the same time
        loaded = self._hashes[script] = await client.script_load(script)
        return await client.evalsha(loaded, len(keys), *keys, *arguments)  # type: ignore[misc,arg-type]

    async def _count(self) -> int:
        return int(await self._answered(self._evaluated(COUNT, (self._index,), (), self._client)))

    async def _answered(self, call: Any) -> Any:
        """Raises StoreUnavailable."""
        try:
            done = await call
        except (ValkeyError, OSError, RuntimeError) as error:  # the last: of uvloop, where the connection was lost this moment
            reason = str(error) or type(error).__name__
            self.watch.away(reason)
            raise self.watch.refusal(reason) from error
        self.watch.there()
        return done

    def _key(self, key: SessionKey) -> bytes:
        return f"{self._tag}{key.model}/{key.session_id}".encode()


def _client_name(prefix: str, replica: str) -> str:
    """Names of clients have no spaces."""
    return "".join(
        character if character.isalnum() or character in "-_.:" else "-" for character in f"cellserve-{prefix}-{replica}"
    )


def _milliseconds(seconds: float) -> str:
    return str(max(0, round(seconds * 1000)))


def _left_seconds(left_milliseconds: int) -> float | None:
    return None if left_milliseconds < 0 else left_milliseconds / 1000 - _GRACE_SECONDS
