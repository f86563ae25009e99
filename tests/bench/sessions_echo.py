"""python -m tests.bench.sessions_echo REPOSITORY MODEL CLASSES: the real door and catalog over live sequences that are an echo.

Each feed is parsed and checked as the real server does, and answered at once with zeros of the right shape: no state is kept, and
nothing is computed. Prints its port, serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np
import uvloop

from cellserve.service.api.door import Door
from cellserve.service.api.execution import Execution
from cellserve.service.api.inbox import Inbox
from cellserve.service.api.requests import Limits
from cellserve.service.api.server import ApiServer, ServerOptions
from cellserve.service.config import Settings
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from cellserve.service.metrics import Metrics
from cellserve.service.registry.catalog import Catalog
from cellserve.service.registry.lease import LoadedVersion
from cellserve.service.registry.repository import Repository
from cellserve.service.sessions.feed import Feed, FeedReply
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings
from tests.bench.stand_in import StandIn


class _NoEngine(StandIn):
    def submit(self, work: Work) -> int:
        raise RuntimeError("the echo computes nothing")


class _Echo(Sessions):
    """Says to every feed that it was applied."""

    def __init__(self, version: LoadedVersion, classes: int, execution: Execution, catalog: Catalog) -> None:
        super().__init__(execution.run, catalog, SessionSettings())
        self._version = version
        self._outputs = (np.zeros(classes, np.float32),)

    async def feed(self, model: str, session_id: str, feed: Feed) -> FeedReply:
        plan = feed.plan(self._version)
        steps = plan.steps
        delivery = Delivery(1, self._outputs, None, None, "fused", steps, 1, 0.0, 0.0) if steps else None
        return FeedReply(session_id, (feed.position or 0) + steps, "00000000-1", self._version, delivery)


async def _serve(folder: str, model: str, classes: int) -> None:
    settings = Settings(repository=Path(folder), host="127.0.0.1", port=0, metrics_port=0)
    metrics = Metrics("bench")
    engine = _NoEngine()
    execution = Execution(engine, Inbox(asyncio.get_running_loop()))
    catalog = Catalog(Repository(settings.repository), engine, settings, observer=metrics)
    await catalog.start()
    lease = await catalog.acquire(model)
    limits = Limits(settings.max_rows_per_request, settings.max_steps_per_sequence, settings.max_message_bytes)
    options = ServerOptions(settings.host, settings.port, settings.max_message_bytes)
    door = Door(catalog, execution, limits, _Echo(lease.version, classes, execution, catalog))
    api = ApiServer(door, metrics, metrics.statistics, options, "bench")
    port = api.bind()
    await api.start()
    print(f"ready on 127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await api.stop(0)
    lease.release()
    await catalog.stop()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
