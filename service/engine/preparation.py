"""Which ways of running a version have been proved here; the others are, each once, when they are first asked for.

A way is an implementation, with or without a mask given by the client. Proving one may import libraries and build kernels, which
takes seconds: whoever asks for it does so on a thread of its own, while all else goes on. Knows no networks and no queue.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, NamedTuple

from cellserve.service.engine.facts import VersionKey

_LARGE_LIBRARY: Final = "torch"


class Way(NamedTuple):
    implementation: str
    masked: bool


class Preparation:
    """prove: proves a way, builds and warms it, and tells which ways are ready by that. Of one that gives wrong numbers, it says
    so to the network, which refuses it from then on. ready: those that are proved already.
    """

    def __init__(self, prove: Callable[[Way], Iterable[Way]], ready: Iterable[Way]) -> None:
        self._prove = prove
        self._ready = frozenset(ready)
        self._lock = Lock()

    def is_ready(self, implementation: str, masked: bool) -> bool:
        """Any thread; waits for nobody."""
        return (implementation, masked) in self._ready

    def prepare(self, way: Way, offer: Callable[[str], None] = lambda label: None) -> None:
        """Any thread but one that others wait for. What it raises it raises again the next time: the way stays unready.

        offer: told the implementation once it is proved, before it is ready.
        """
        with self._lock:
            if way not in self._ready:
                with sparing_libraries():
                    settled = frozenset((way, *self._prove(way)))
                offer(way.implementation)
                self._ready |= settled


class Unprepared(Exception):
    """Work was submitted that needs a way which is not ready; nothing of it was taken. `prepare`, then submit it again."""

    def __init__(self, version: VersionKey, way: Way, prepare: Callable[[Way], None]) -> None:
        super().__init__(f"{version} has not been prepared for {way}")
        self.key = (version, way)
        self._prepare, self._way = prepare, way

    def prepare(self) -> None:
        """As Preparation.prepare."""
        self._prepare(self._way)


@contextmanager
def sparing_libraries() -> Iterator[None]:
    """A large library may be imported here: if it is, the garbage collector never looks through its objects.

    A full collection would stop every request for a tenth of a second. What lives at that moment is spared too, once.
    """
    there = _LARGE_LIBRARY in sys.modules
    try:
        yield
    finally:
        if not there and _LARGE_LIBRARY in sys.modules:
            gc.freeze()
