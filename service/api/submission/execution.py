"""Runs a request's rows in the engine: all of them answered, or none left behind. Knows no messages and no models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from cellserve.service.api.calls import CURRENT
from cellserve.service.api.overload.turnstile import Turnstile
from cellserve.service.api.submission.inbox import Inbox
from cellserve.service.api.submission.microbatcher import Microbatcher
from cellserve.service.api.submission.preparations import Preparations
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.engine.batch import Delivery
from cellserve.service.engine.preparation import Unprepared
from cellserve.service.engine.sequence import Work
from cellserve.service.errors import Cancelled, Draining, Overloaded, ServiceError


class WorkTaker(Protocol):
    """The part of the engine that the door uses."""

    def short(self, works: Sequence[Work], alone: bool) -> str | None: ...

    def run_at_once(self, works: Sequence[Work], implementation: str, arrived_seconds: Sequence[float]) -> list[Delivery]: ...

    def submit_all(self, works: Sequence[Work], asker: Asker) -> list[int]: ...

    def cancel(self, sequence_id: int) -> None: ...

    def expects(self, ticket: str) -> bool: ...

    def turn_away(self) -> ServiceError: ...

    def spare(self) -> bool: ...


class Execution:
    """The way from the door to the engine and back. Lives on the event loop."""

    def __init__(self, engine: WorkTaker, inbox: Inbox) -> None:
        self._engine = engine
        self._way_seconds = 0.0
        self._inbox = inbox
        self.at_door = RequestsAtDoor()
        self.turnstile = Turnstile()
        self._microbatcher = Microbatcher(engine.run_at_once, self.at_door, inbox.loop)
        self._preparations = Preparations()
        self._closed: ServiceError | None = None
        self._closing = asyncio.Event()
        self._leaving = False
        self._aside: list[int] = []  # sequences that run in time that nobody else wants

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

    def expects(self, ticket: str) -> bool:
        """Whether a call with this ticket was told to come now: then there is time to read it."""
        return self._engine.expects(ticket)

    def turn_away(self) -> ServiceError:
        """What a call is told that there is no time to read."""
        return self._engine.turn_away()

    def lagging(self, lag_seconds: float) -> None:
        """So late is the event loop at present to what comes; it will be as late to what the engine gives back."""
        self._way_seconds = 2.0 * lag_seconds

    def spare(self) -> bool:
        """Whether there is time that nobody wants: a worker has nothing to do, and nobody runs aside yet."""
        return not self._aside and self._closed is None and self._engine.spare()

    async def run_aside(self, works: Sequence[Work]) -> list[Delivery] | None:
        """The deliveries of `works`, in order, computed in time that nobody else wants; None: there is none, or a request that
        needs a worker came meanwhile and found none without work. Raises what the engine says of a row that fails.
        """
        if not self.spare():
            return None
        gathering = self._inbox.open(len(works))
        try:
            self._aside = self._engine.submit_all(works, ANYBODY)
            for sequence_id in self._aside:
                self._inbox.expect(sequence_id, gathering)
            return await gathering.answer
        except (Cancelled, Draining, Overloaded, Unprepared):
            return None
        finally:
            self._aside = []
            for sequence_id in self._inbox.forget(gathering):
                self._engine.cancel(sequence_id)

    async def run_among(self, works: Sequence[Work]) -> list[Delivery] | None:
        """As `run`, for nobody in particular; None: there is no room for it."""
        try:
            return await self._run_prepared(works, live=False)
        except (Cancelled, Draining, Overloaded):
            return None

    def _make_way(self) -> None:
        """For a request that needs a worker: what runs aside goes, unless another worker has nothing to do."""
        if self._aside and not self._engine.spare():
            for sequence_id in self._aside:
                self._engine.cancel(sequence_id)

    async def feed(self, works: Sequence[Work]) -> list[Delivery]:
        """As `run`, of a live sequence."""
        return await self.run(works, live=True)

    async def run(self, works: Sequence[Work], live: bool = False) -> list[Delivery]:
        """The deliveries of `works`, in order. live: they feed a live sequence.

        Raises what the engine says of the first row that is refused or fails. Then, and when the caller is cancelled, every
        other row is cancelled too.
        """
        call = CURRENT.get(None)
        trace = None if call is None else call.trace
        if trace is None:
            return await self._run_prepared(works, live)
        done = await self._run_prepared(trace.submit(works), live)
        trace.answer(done)
        return done

    async def _run_prepared(self, works: Sequence[Work], live: bool) -> list[Delivery]:
        while True:
            try:
                return await self._run(works, live)
            except Unprepared as missing:  # nothing was taken
                await self._preparations.prepare(missing)

    async def _run(self, works: Sequence[Work], live: bool) -> list[Delivery]:
        """Raises Unprepared too, as the engine does."""
        self.require_open()
        now = time.monotonic()
        alone = self._microbatcher.alone(now)
        implementation = self._engine.short(works, alone)
        if implementation is not None:
            if alone or len(works) > 1 or not self._microbatcher.promising():
                done = self._engine.run_at_once(works, implementation, [now] * len(works))
            else:
                done = [await self._microbatcher.hold(works[0], implementation, now)]
            for delivery in done:
                if delivery.error is not None:
                    raise delivery.error
            return done
        self.at_door.leave()
        self._make_way()
        try:
            asker = _asker()._replace(live=live, way_seconds=self._way_seconds)
            return [await self._run_alone(works[0], asker)] if len(works) == 1 else await self._run_all(works, asker)
        finally:
            self.at_door.come_back()

    async def _run_all(self, works: Sequence[Work], asker: Asker) -> list[Delivery]:
        gathering = self._inbox.open(len(works))
        try:
            for sequence_id in self._engine.submit_all(works, asker):
                self._inbox.expect(sequence_id, gathering)
            return await gathering.answer
        finally:
            for sequence_id in self._inbox.forget(gathering):
                self._engine.cancel(sequence_id)

    async def _run_alone(self, work: Work, asker: Asker) -> Delivery:
        """As `_run_all`, with nothing to gather."""
        (sequence_id,) = self._engine.submit_all((work,), asker)
        answer = self._inbox.expect_alone(sequence_id)
        try:
            return await answer
        finally:
            if self._inbox.forget_alone(sequence_id):
                self._engine.cancel(sequence_id)


def _asker() -> Asker:
    call = CURRENT.get(None)
    return ANYBODY if call is None else call.asker()
