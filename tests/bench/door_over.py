"""The real door, catalog and metrics over an engine of the bench's choice, in this process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellserve.service.api.door import Door
from cellserve.service.api.fronts.options import ServerOptions
from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.api.server import ApiServer
from cellserve.service.api.submission.execution import Execution
from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.config import FrontChoice, Settings
from cellserve.service.metrics.metrics import Metrics
from cellserve.service.registry.catalog import Catalog
from cellserve.service.registry.publishing.publishing import Publishing
from cellserve.service.registry.publishing.uploads import UploadLimits
from cellserve.service.registry.repository.repository import Repository
from cellserve.service.registry.rollout.rollouts import Rollouts
from cellserve.service.sessions.sessions import Sessions
from cellserve.service.sessions.settings import SessionSettings


async def serve(
    folder: str,
    engine_of: Callable[[Inbox, Metrics], Any],
    sessions_of: Callable[[Execution, Catalog], Sessions] = lambda execution, catalog: Sessions(
        execution.run, catalog, SessionSettings()
    ),
    front: FrontChoice = "auto",
) -> None:
    """Prints its port, serves until standard input is closed. engine_of: what has the methods of an Engine that requests use."""
    settings = Settings(repository=Path(folder), host="127.0.0.1", port=0, metrics_port=0, front=front)
    metrics = Metrics("bench", front, asyncio.get_running_loop().call_soon_threadsafe)
    inbox = Inbox(asyncio.get_running_loop())
    engine = engine_of(inbox, metrics)
    repository = Repository(settings.repository)
    catalog = Catalog(repository, engine, settings, observer=metrics)
    limits = Limits(settings.max_rows_per_request, settings.max_steps_per_sequence, settings.max_message_bytes)
    options = ServerOptions(settings.host, settings.port, settings.max_message_bytes, front=settings.front)
    execution = Execution(engine, inbox)
    door = Door(catalog, execution, limits, sessions_of(execution, catalog))
    publishing = Publishing(repository, UploadLimits(1, 1, 1.0))
    api = ApiServer(door, publishing, Rollouts(repository, catalog), metrics, metrics.statistics, options, "bench")
    port = api.bind()
    await catalog.start()
    await api.start()
    print(f"ready on 127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await api.stop(0)
    await catalog.stop()
