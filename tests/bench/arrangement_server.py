"""python -m tests.bench.arrangement_server REPOSITORY threads|processes COUNT: the real door over so many workers."""

from __future__ import annotations

import sys
from dataclasses import replace

import uvloop

from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.engine.engine import Engine
from cellserve.service.metrics.metrics import Metrics
from tests.bench import door_over
from tests.bench.engine_processes import SETTINGS, EngineProcesses


def main(folder: str, arrangement: str, count: int) -> None:
    def engine(inbox: Inbox, metrics: Metrics) -> Engine | EngineProcesses:
        if arrangement == "processes":
            return EngineProcesses(folder, inbox, count)
        started = Engine(inbox.deliver, metrics, replace(SETTINGS, workers=count), lambda cause: None)
        started.start()
        return started

    uvloop.run(door_over.serve(folder, engine))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
