"""What changed of versions and aliases, numbered, so that a watcher can go on where it stopped. Pure but for waking watchers.

Holds what is, and the last changes. A watcher keeps no queue here, only its place: one that is too slow, or comes back too late,
begins again with what is.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, NamedTuple

from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.status import AliasStatus, VersionStatus

_REMEMBERED: Final = 4096
Name = VersionKey | tuple[str, str]  # a version, or model and alias
State = VersionStatus | AliasStatus


class Change(NamedTuple):
    """What `name` is now; state None: it is gone. number: of this change, and of no other."""

    number: int
    name: Name
    state: State | None

    @property
    def model(self) -> str:
        return self.name[0]


class Told(NamedTuple):
    """One message to a watcher. token: to go on after it. change None: void (what the watcher knew is void) or, without void,
    all that is has been told.
    """

    token: str
    change: Change | None
    void: bool = False


class ChangeLog:
    """On the event loop."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self._is: dict[Name, State] = {}
        self._changes: deque[Change] = deque(maxlen=_REMEMBERED)
        self._changed = asyncio.Event()
        self._closed = False

    def update(self, versions: Iterable[VersionStatus], aliases: Iterable[AliasStatus]) -> None:
        """All that is, now. What differs from the last time is a change."""
        now: dict[Name, State] = {status.key: status for status in versions}
        now |= {(one.model, one.alias): one for one in aliases if one.alias}
        for name, state in now.items():
            if self._is.get(name) != state:
                self._add(name, state)
        for name in self._is.keys() - now.keys():
            self._add(name, None)
        if self._is != now:
            self._is = now
            self._wake()

    def close(self) -> None:
        """Watchers end once they have been told what there was."""
        self._closed = True
        self._wake()

    async def watch(self, model: str = "", token: str = "") -> AsyncIterator[Told]:
        """Of all models, or one. token: of the last message that was seen. Ends when the log is closed."""
        number = self._place(token)
        while True:
            changed = self._changed
            if number is None or number < self._forgotten:
                if number is not None or token:
                    yield Told(self._token(0), None, void=True)
                number = self._number
                for change in self._all():
                    if model in ("", change.model):
                        yield Told(self._token(0), change)
                yield Told(self._token(number), None)
                continue
            for change in self._after(number):
                if model in ("", change.model):
                    yield Told(self._token(change.number), change)
                number = change.number
            if self._closed:
                return
            if changed is self._changed:
                await changed.wait()

    @property
    def _forgotten(self) -> int:
        """The number of the last change that is not remembered."""
        return self._number - len(self._changes)

    def _add(self, name: Name, state: State | None) -> None:
        self._number += 1
        self._changes.append(Change(self._number, name, state))

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _all(self) -> list[Change]:
        return [Change(0, name, state) for name, state in sorted(self._is.items(), key=_by_name)]

    def _after(self, number: int) -> Iterator[Change]:
        """A copy: what is added while it is told comes in the next round."""
        skipped = max(0, number - self._forgotten)
        return iter(list(itertools.islice(self._changes, skipped, None)))

    def _token(self, number: int) -> str:
        """Of number 0 no change is remembered for long: whoever comes with it begins again."""
        return f"{self._epoch}-{number}"

    def _place(self, token: str) -> int | None:
        """None: from the beginning."""
        epoch, _, number = token.rpartition("-")
        known = epoch == self._epoch and number.isdecimal() and 0 < int(number) <= self._number
        return int(number) if known else None


def _by_name(entry: tuple[Name, State]) -> tuple[str, bool, str | int]:
    """Of each model its versions, then its aliases."""
    model, second = entry[0]
    return model, isinstance(second, str), second
