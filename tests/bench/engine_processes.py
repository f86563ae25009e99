"""Engines of one worker each in processes of their own, behind the messages that the door and an engine exchange anyway.

What it takes to move the engine out of the server's process, for measuring: it can submit and deliver, not fail or drain.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from contextlib import suppress
from pathlib import Path

import torch

from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.config import Settings
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.engine import Engine, EngineSettings
from cellserve.service.engine.facts import VersionKey
from cellserve.service.engine.sequence import Work
from cellserve.service.registry.loading import load_version
from cellserve.service.registry.repository.repository import Repository
from tests.bench.engine import Unobserved
from tests.bench.frames import Wire, framed, received
from tests.bench.stand_in import StandIn

_BUFFER_BYTES = 8 << 20
SETTINGS = EngineSettings(at_once_seconds=0.0)


class EngineProcesses(StandIn):
    """On the event loop that makes it. Each process loads what is in the repository."""

    def __init__(self, folder: str, inbox: Inbox, count: int) -> None:
        self._inbox = inbox
        self._outstanding_steps = [0] * count
        self._submitted = [0] * count
        self._steps: dict[int, int] = {}
        self._waiting: list[list[Work]] = [[] for _ in range(count)]
        self._transports: list[asyncio.Transport | None] = [None] * count
        self._ends = [self._start(folder, index, count) for index in range(count)]
        self._connecting = asyncio.ensure_future(self._connect())

    def submit(self, work: Work) -> int:
        index = min(range(len(self._ends)), key=self._outstanding_steps.__getitem__)
        identity = self._submitted[index] * len(self._ends) + index
        self._submitted[index] += 1
        self._outstanding_steps[index] += work.steps
        self._steps[identity] = work.steps
        if not self._waiting[index]:
            asyncio.get_running_loop().call_soon(self._send, index)  # everything of this turn in one message
        self._waiting[index].append(work)
        return identity

    def _start(self, folder: str, index: int, count: int) -> socket.socket:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        spawning = multiprocessing.get_context("spawn")
        spawning.Process(target=serve, args=(folder, theirs, index, count), daemon=True).start()
        theirs.close()
        next(received(ours))  # it has loaded everything
        return ours

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for index, end in enumerate(self._ends):
            self._transports[index], _ = await loop.connect_accepted_socket(lambda: Wire(self._take), end)

    def _send(self, index: int) -> None:
        works, self._waiting[index] = self._waiting[index], []
        transport = self._transports[index]
        assert transport is not None
        transport.write(framed(works))

    def _take(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._outstanding_steps[delivery.sequence_id % len(self._ends)] -= self._steps.pop(delivery.sequence_id)
        self._inbox.deliver(deliveries)


def serve(folder: str, end: socket.socket, index: int, count: int) -> None:
    """One such process: works in, deliveries out, until the other end is closed."""
    torch.set_num_threads(1)

    def deliver(deliveries: list[Delivery]) -> None:
        """The engine counts what is submitted to it, as the other end does."""
        named = [delivery._replace(sequence_id=delivery.sequence_id * count + index) for delivery in deliveries]
        with suppress(BrokenPipeError):  # the other end is closed: nobody waits
            end.sendall(framed(named))

    engine = Engine(deliver, Unobserved(), SETTINGS, lambda cause: None)
    repository, settings = Repository(Path(folder)), Settings(repository=Path(folder))
    for model in repository.models():
        for key in (VersionKey(model, version) for version in repository.versions(model)):
            engine.add_version(key, load_version(repository, repository.manifest(*key), settings)[1])
    engine.start()
    end.sendall(framed("ready"))
    for works in received(end):
        for work in works:
            engine.submit(work)
    engine.stop()
