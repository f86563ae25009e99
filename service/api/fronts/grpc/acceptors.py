"""Several calls accepted at a time, where gRPC accepts one and asks for the next when the event loop comes round.

Between two calls that takes a turn of the event loop and a wake-up of gRPC's poller, which on busy cores is most of a
millisecond: calls that come faster grow old before anybody has seen them (docs/performance.md). These ask for calls just as
gRPC's own loop does, of the same parts of the pinned release; where a release lacks them, that loop is alone. Knows no methods.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

_log = logging.getLogger(__name__)

_FURTHER: Final = 15


class Acceptors:
    """Beside the loop of `server`, from `start` until it stops. On the event loop."""

    def __init__(self, server: grpc.aio.Server, handlers: Sequence[object]) -> None:
        self._server: Any = getattr(server, "_server", None)
        self._handlers = list(handlers)
        self._tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps none

    @property
    def accepting(self) -> bool:
        """Or calls that were accepted here are under way."""
        return bool(self._tasks)

    def start(self) -> None:
        """The server has been started."""
        needed = ((self._server, "_request_call"), (cygrpc, "_handle_rpc"), (cygrpc, "_schedule_rpc_coro"))
        if not all(hasattr(part, name) for part, name in needed):
            _log.info("this release of grpcio accepts calls one at a time, which is slow under overload")
            return
        for _ in range(_FURTHER):
            self._keep(asyncio.create_task(self._accept()))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                call = await self._server._request_call()
            except Exception as end:  # of a kind that gRPC does not export: the server has stopped
                _log.debug("no more calls: %s", end)
                return
            answering = cygrpc._handle_rpc(self._handlers, (), call, loop, False)
            self._keep(loop.create_task(cygrpc._schedule_rpc_coro(answering, call, loop)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
