"""Facts that are kept as they are told, and booked hundreds at a time, or when somebody looks.

Booking a fact costs many times what keeping it costs, most of all in the middle of a request, whose code has taken the
processor's caches. Knows no facts and no books.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

Fact = TypeVar("Fact")
Soon = Callable[[Callable[[], None]], object]

_log = logging.getLogger(__name__)


def now(function: Callable[[], None]) -> None:
    """Where there is nothing to wait for."""
    function()


class Ledger(Generic[Fact]):
    """Safe on any thread.

    book: gets each fact once, in the order in which they were told, on one thread at a time. What it raises is logged: it costs
    metrics, never an answer. most: facts that are kept before they are booked without anybody looking.
    soon: has a function called at a time at which it delays nobody, at once if need be.
    """

    def __init__(self, book: Callable[[list[Fact]], None], most: int, soon: Soon) -> None:
        self._book = book
        self._most = most
        self._soon = soon
        self._facts: list[Fact] = []  # appended to by anybody, cut under the lock
        self._lock = Lock()

    def tell(self, fact: Fact) -> None:
        facts = self._facts
        facts.append(fact)
        if len(facts) % self._most == 0:
            self._soon(self._book_if_free)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Everything told before is booked, and nothing is booked until the end."""
        with self._lock:
            self._book_kept()
            yield

    def _book_if_free(self) -> None:
        """Waits for nobody: what another thread's booking leaves is booked with the next ones."""
        if self._lock.acquire(blocking=False):
            try:
                self._book_kept()
            finally:
                self._lock.release()

    def _book_kept(self) -> None:
        facts = self._facts[:]
        del self._facts[: len(facts)]  # not all: others may have been told since
        if not facts:
            return
        try:
            self._book(facts)
        except Exception:
            _log.exception("booking failed: up to %d facts are missing in metrics and statistics", len(facts))
