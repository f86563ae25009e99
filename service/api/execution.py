"""Runs a request's rows in the engine: all of them answered, or none left behind. Knows no messages and no models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cellserve.service.api.inbox import Inbox
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import Draining, ServiceError


class WorkTaker(Protocol):
    """The part of the engine that the door uses."""

    def run_at_once(self, work: Work) -> Delivery | None: ...

    def submit(self, work: Work) -> int: ...

    def cancel(self, sequence_id: int) -> None: ...


class Execution:
    """The way from the door to the engine and back. Lives on the event loop."""

    def __init__(self, engine: WorkTaker, inbox: Inbox) -> None:
        self._engine = engine
        self._inbox = inbox
        self._closed: ServiceError | None = None
        self._closing = asyncio.Event()
        self._leaving = False

    @property
    def accepting(self) -> bool:
        return self._closed is None

    @property
    def ready(self) -> bool:
        """Whether new clients should come: requests are taken, and will be for a while."""
        return self.accepting and not self._leaving

    def leave(self) -> None:
        """Ready no more; what comes nevertheless is still taken."""
        self._leaving = True

    def close(self, reason: ServiceError | None = None) -> None:
        """Take nothing new; what was taken goes on."""
        self._closed = reason or Draining("the server is stopping and takes no new requests")
        self._closing.set()

    async def closed(self) -> ServiceError:
        """Waits for `close`; its reason. Streams read nothing more then."""
        await self._closing.wait()
        return self._closed or Draining("the server is stopping")

    def fail(self, error: ServiceError) -> None:
        """The engine is dead: end everything under way, and take nothing new."""
        self.close(error)
        self._inbox.fail(error)

    def require_open(self) -> None:
        """Raises the error that `close` was given, by default Draining."""
        if self._closed is not None:
            raise self._closed

    async def run(self, works: Sequence[Work]) -> list[Delivery]:
        """The deliveries of `works`, in order.

        Raises what the engine says of the first row that is refused or fails. Then, and when the caller is cancelled, every
        other row is cancelled too.
        """
        self.require_open()
        if len(works) == 1:
            return [await self._run_alone(works[0])]
        gathering = self._inbox.open(len(works))
        try:
            for work in works:
                self._inbox.expect(self._engine.submit(work), gathering)
            return await gathering.answer
        finally:
            for sequence_id in self._inbox.forget(gathering):
                self._engine.cancel(sequence_id)

    async def _run_alone(self, work: Work) -> Delivery:
        """As `run`, with nothing to gather: perhaps at once."""
        delivery = self._engine.run_at_once(work)
        if delivery is not None:
            if delivery.error is not None:
                raise delivery.error
            return delivery
        sequence_id = self._engine.submit(work)
        answer = self._inbox.expect_alone(sequence_id)
        try:
            return await answer
        finally:
            if self._inbox.forget_alone(sequence_id):
                self._engine.cancel(sequence_id)
