"""python -m tests.bench.door_alone REPOSITORY CLASSES FRONT: the real door, catalog and metrics over an engine that is instant.

Prints its port, serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import uvloop

from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from tests.bench import door_over
from tests.bench.stand_in import StandIn


class _AtOnce(StandIn):
    """Zeros for every sequence, in the next turn of the event loop: as often as a busy engine delivers, all of them together."""

    def __init__(self, inbox: Inbox, classes: int) -> None:
        self._inbox = inbox
        self._outputs = (np.zeros(classes, np.float32),)
        self._submitted = 0
        self._ended: list[Delivery] = []

    def submit(self, work: Work) -> int:
        self._submitted += 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._ended.append(Delivery(self._submitted, self._outputs, None, None, "fused", work.steps, 1, 0.001, 0.001))
        return self._submitted

    def _deliver(self) -> None:
        ended, self._ended = self._ended, []
        self._inbox.deliver(ended)


if __name__ == "__main__":
    uvloop.run(
        door_over.serve(sys.argv[1], lambda inbox, metrics: _AtOnce(inbox, int(sys.argv[2])), front=sys.argv[3])
    )  # as the real server does
