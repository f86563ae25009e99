"""python -m tests.bench.sessions_echo REPOSITORY MODEL CLASSES: the real door and catalog over live sequences that are an echo.

Each feed is parsed and checked as the real server does, and answered at once with zeros of the right shape: no state is kept, and
nothing is computed. Prints its port, serves until its standard input is closed.
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import uvloop

from cellserve.service.api.submission.execution import Execution
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from cellserve.service.registry.catalog import Catalog
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from tests.bench import door_over
from tests.bench.stand_in import StandIn


class _NoEngine(StandIn):
    def submit(self, work: Work) -> int:
        raise RuntimeError("the echo computes nothing")


class _Echo(Sessions):
    """Says to every feed that it was applied."""

    def __init__(self, model: str, classes: int, execution: Execution, catalog: Catalog) -> None:
        super().__init__(execution.run, catalog, SessionSettings())
        self._model = model
        self._catalog = catalog
        self._version: LoadedVersion | None = None
        self._outputs = (np.zeros(classes, np.float32),)

    async def feed(self, model: str, session_id: str, feed: Feed) -> FeedReply:
        if (version := self._version) is None:
            with await self._catalog.acquire(self._model) as lease:
                version = self._version = lease.version
        steps = feed.check(version).steps
        delivery = Delivery(1, self._outputs, None, None, "fused", steps, 1, 0.0, 0.0) if steps else None
        return FeedReply(session_id, (feed.position or 0) + steps, "00000000-1", version, delivery)


if __name__ == "__main__":
    _, folder, model, classes = sys.argv
    echo = partial(_Echo, model, int(classes))
    uvloop.run(door_over.serve(folder, lambda inbox, metrics: _NoEngine(), echo))
