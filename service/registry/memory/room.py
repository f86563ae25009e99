"""Makes room for versions that are to be loaded, within the budget, and knows what those that are loaded take.

A version is let in twice: before it is read, by what its description says that it will take or what it took when it was loaded
before; and once it is built, by what was measured. Runs on the event loop. Knows no disk and no engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from cellserve.models.description.described import Described, weights_bytes_of
from cellserve.models.description.state_layout import StateLayout
from cellserve.service.engine.facts import VersionKey
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.memory.budget import Held, refusal_words, size_words, who_goes
from cellserve.service.registry.memory.footprint import Footprint

log = logging.getLogger(__name__)

_COPIES = 1  # of the weights, that the one way in which most versions run at first makes


class NoRoom(Exception):
    """str(error): the numbers, and what to do."""


class Room:
    """budget_bytes: 0: any amount. pool_rows: of states in main memory that each version gets, on all workers together.

    `footprints`: of the versions that are loaded.
    """

    def __init__(self, budget_bytes: int = 0, pool_rows: int = 0) -> None:
        self.budget_bytes = budget_bytes
        self._pool_rows = pool_rows
        self.footprints: dict[VersionKey, Footprint] = {}
        self._coming: dict[VersionKey, int] = {}  # bytes
        self._known: dict[VersionKey, int] = {}  # bytes that a version took, or is thought to take
        self._held: Callable[[], Iterable[Held]] = tuple
        self._evict: Callable[[VersionKey], None] = lambda key: None

    def follow(self, held: Callable[[], Iterable[Held]], evict: Callable[[VersionKey], None]) -> None:
        """held: what is loaded now. evict: takes one of those that may go out of memory."""
        self._held, self._evict = held, evict

    @contextmanager
    def coming(self, key: VersionKey) -> Iterator[None]:
        """While it is loaded: what it takes is spoken for, and given back where loading fails."""
        try:
            yield
        except BaseException:
            self.footprints.pop(key, None)
            raise
        finally:
            self._coming.pop(key, None)

    def expect(self, key: VersionKey, spec: Described) -> None:
        """Makes room for what it will take. Raises NoRoom."""
        if self.budget_bytes:
            if key not in self._known:
                self._known[key] = (1 + _COPIES) * weights_bytes_of(spec) + self._states_bytes(StateLayout.of(spec))
            self._make(key, self._known[key])

    def let_in(self, version: LoadedVersion) -> None:
        """Makes room for what it was measured to take. Raises NoRoom: it must be dropped again."""
        key, footprint = version.key, version.footprint
        footprint.with_states(self._states_bytes(version.state_layout))
        self._known[key] = footprint.bytes
        if self.budget_bytes:
            self._make(key, footprint.bytes)
        self.footprints[key] = footprint

    def left(self, key: VersionKey) -> None:
        """It is loaded no more."""
        if (footprint := self.footprints.pop(key, None)) is not None:
            self._known[key] = footprint.bytes

    def could_have(self, key: VersionKey) -> bool:
        """Whether there would be room for it by now."""
        return who_goes(self.budget_bytes, self._known.get(key, 0), self._others(key)) is not None

    def forget(self, key: VersionKey) -> None:
        """It is other files now, or gone."""
        self._known.pop(key, None)

    def _make(self, key: VersionKey, needed_bytes: int) -> None:
        if self._taken_bytes(key) + needed_bytes <= self.budget_bytes:
            self._coming[key] = needed_bytes
            return
        others = self._others(key)
        going = who_goes(self.budget_bytes, needed_bytes, others)
        if going is None:
            raise NoRoom(refusal_words(key, self.budget_bytes, needed_bytes, others))
        self._coming[key] = needed_bytes
        for one in going:
            log.info("%s makes room for %s, which needs %s; its next request loads it again", one, key, size_words(needed_bytes))
            self._evict(one)

    def _taken_bytes(self, but: VersionKey) -> int:
        """As `_others` tell, but quickly: many versions are let in one after the other."""
        coming = sum(taken for key, taken in self._coming.items() if key != but)
        return coming + sum([footprint.bytes for key, footprint in self.footprints.items() if key not in self._coming])

    def _others(self, key: VersionKey) -> list[Held]:
        held = [one for one in self._held() if one.key != key and one.key not in self._coming]
        coming = [Held(one, taken, 0.0, "it is being loaded") for one, taken in self._coming.items() if one != key]
        return held + coming

    def _states_bytes(self, layout: StateLayout) -> int:
        return layout.row_bytes * self._pool_rows
