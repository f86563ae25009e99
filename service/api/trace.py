"""What is noted of one request that is traced, while it is served. Spans are made of it once it has ended.

Knows no tracing library, and not which requests are traced.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cellserve.service.api.call_context import Metadata
from cellserve.service.api.facts import RequestFact, RpcMethod, TraceIds
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.facts import IterationLog
from cellserve.service.engine.sequence import Work

Clock = Callable[[], float]

_log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """How a traced request ended: as the metrics are told, its id and its live sequence, if any."""

    fact: RequestFact
    request_id: str
    sequence: str


class Trace:
    """All times are on the clock of the engine, `time.monotonic`; None: it did not come so far.

    finish: makes spans of it. answered: what came back from the engine.
    """

    __slots__ = ("_clock", "_finish", "answered", "answered_seconds", "began_seconds", "ids", "iterations", "submitted_seconds")

    def __init__(self, ids: TraceIds, finish: Callable[[Trace, Ended, float], None], clock: Clock = time.monotonic) -> None:
        self.ids = ids
        self.began_seconds = clock()
        self.submitted_seconds: float | None = None
        self.answered_seconds: float | None = None
        self.answered: Sequence[Delivery] = ()
        self.iterations = IterationLog()
        self._finish = finish
        self._clock = clock

    def submit(self, works: Sequence[Work]) -> list[Work]:
        """The works, which tell of their iterations from here on. What is given to the engine anew began with the first."""
        if self.submitted_seconds is None:
            self.submitted_seconds = self._clock()
        return [work._replace(iteration_log=self.iterations) for work in works]

    def answer(self, deliveries: Sequence[Delivery]) -> None:
        self.answered, self.answered_seconds = deliveries, self._clock()

    def end(self, ended: Ended) -> None:
        """What goes wrong with the spans is logged: it costs a trace, never an answer."""
        try:
            self._finish(self, ended, self._clock())
        except Exception:
            _log.exception("the spans of a request are lost", extra={"once": "spans"})


Tracer = Callable[[RpcMethod, Metadata], Trace | None]  # of a request to a method, as its metadata ask; None: it is not traced
