"""Many requests on one stream: each answered in a task of its own, replies in order of completion. Knows no messages.

No more requests are read than may be unanswered; the rest waits in the client's flow-control window, and so does a client that
does not read its replies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from cellserve.service.api.calls import CURRENT, Call, RequestIds, enter
from cellserve.service.api.facts import DoorObserver
from cellserve.service.api.failures import told
from cellserve.service.api.overload.turnstile import Turnstile
from cellserve.service.api.status import CODES
from cellserve.service.api.submission.requests_at_door import RequestsAtDoor
from cellserve.service.counted_log import CountedLog
from cellserve.service.engine.asker import Asker
from cellserve.service.errors import CAUSE, Cancelled, ServiceError

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class _Ending(NamedTuple):
    """Of a request. reason and cause: of the error that it was told."""

    code: str
    reason: str | None = None
    cause: str | None = None


_FINE: Final = _Ending("OK")


class StreamedRequests:
    """Around each request of a stream what CallInterceptor does around a call: an id, errors to replies, facts."""

    def __init__(self, observer: DoorObserver, refusal_log: CountedLog) -> None:
        self._observer = observer
        self._refusal_log = refusal_log
        self._ids = RequestIds()

    async def answer(
        self,
        behaviour: Callable[[str], Awaitable[Reply]],
        failed: Callable[[ServiceError, str], Reply],
        asker: Asker,
        inference: bool = True,
    ) -> Reply:
        """What `behaviour` makes of the request's id, or what `failed` makes of an error and that id. Raises nothing.

        inference: counted as a request; what opens, closes or looks at a sequence is none, as it is none in a call of its own.
        In a task of its own, since the request's Call belongs to that. Cancelling the task is an error like others.
        """
        started_seconds = time.perf_counter()
        stream = CURRENT.get(None)  # whose task has begun this one
        call = Call(self._ids.next(), lambda: asker)
        if stream is not None:
            call.owner, call.use = stream.owner, stream.use
            if inference and stream.begin_trace is not None:
                call.trace = stream.begin_trace()
        enter(call)
        ending = _FINE
        try:
            reply = await behaviour(call.request_id)
        except (Exception, asyncio.CancelledError) as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            failure = Cancelled("the request was cancelled") if cancelled else told(error, call.request_id)
            reply = failed(failure, call.request_id)
            ending = _Ending(CODES[failure.reason].name, failure.reason, failure.metadata.get(CAUSE))
            del failure  # no circle: it knows this frame
        if inference:
            self._tell(call, ending, started_seconds)
        return reply

    def _tell(self, call: Call, ending: _Ending, started_seconds: float) -> None:
        if ending.cause is not None:
            self._refusal_log.count(ending.cause)
        self._observer.on_request(call.fact(ending.code, ending.reason, time.perf_counter() - started_seconds, ending.cause))


async def answers(
    requests: AsyncIterator[Request],
    start: Callable[[Request], asyncio.Task[Reply] | None],
    most_unanswered: int,
    at_door: RequestsAtDoor,
    turnstile: Turnstile,
    closing: Awaitable[ServiceError] | None = None,
) -> AsyncGenerator[Reply, None]:
    """The replies to `requests`, until the client has half-closed and everything is answered.

    start: begins a request and gives its task; None for one that needs no reply. Must not wait.
    at_door: told when a request begins, and when its reply has been written. turnstile: says when one may begin.
    closing: once it is done nothing more is read; what was read is answered, then its result is raised.

    Raises what `requests` or a task raises. However it ends, tasks under way are cancelled.
    """
    crowd: _Crowd[Request, Reply] = _Crowd(requests, start, most_unanswered, at_door, turnstile)
    closer = None if closing is None else asyncio.ensure_future(closing)
    if closer is not None:
        closer.add_done_callback(lambda _: crowd.read_no_more())
    try:
        while (task := await crowd.next_done()) is not None:
            yield task.result()
            crowd.written()  # only now: a client that does not read is not read either
        if closer is not None and closer.done():
            raise closer.result()
    finally:
        crowd.disperse()
        if closer is not None:
            closer.cancel()


class _Crowd(Generic[Request, Reply]):
    """The requests of one stream that are under way, and the task that reads them."""

    def __init__(
        self,
        requests: AsyncIterator[Request],
        start: Callable[[Request], asyncio.Task[Reply] | None],
        most_unanswered: int,
        at_door: RequestsAtDoor,
        turnstile: Turnstile,
    ) -> None:
        self._turnstile = turnstile
        self._tasks: set[asyncio.Task[Reply]] = set()  # those whose replies are not being written yet
        self._begun = self._answered = 0
        self._dispersed = False
        self._room = asyncio.Semaphore(most_unanswered)
        self._at_door = at_door
        self._start = start
        self._done: asyncio.Queue[asyncio.Task[Reply] | None] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = asyncio.create_task(self._read(requests))
        self._reader.add_done_callback(lambda _: self._done.put_nowait(None))

    async def next_done(self) -> asyncio.Task[Reply] | None:
        """The next request that is done; None when none is left and none will come. Raises what reading raised."""
        reader = self._reader
        while reader is not None and (self._tasks or not reader.done()):
            task = await self._done.get()
            if task is not None:
                self._tasks.discard(task)
                return task
            if not reader.cancelled():
                reader.result()
        return None

    def read_no_more(self) -> None:
        """What was read is still answered."""
        if self._reader is not None:
            self._reader.cancel()

    def written(self) -> None:
        """A reply has been."""
        self._answered -= 1
        self._at_door.write_streamed()
        self._room.release()

    def disperse(self) -> None:
        """Nothing more is read, answered or written."""
        self._dispersed = True
        self._at_door.forget_streamed(self._begun, self._answered)
        self.read_no_more()
        self._reader = None  # no circle: how it ended holds this
        for unneeded in self._tasks:
            unneeded.cancel()

    def _on_done(self, task: asyncio.Task[Reply]) -> None:
        if not self._dispersed:
            self._begun -= 1
            self._answered += 1
            self._at_door.answer_streamed()
            self._done.put_nowait(task)

    async def _read(self, requests: AsyncIterator[Request]) -> None:
        await self._room.acquire()
        async for request in requests:
            await self._turnstile.turn()
            task = self._start(request)
            if task is not None:
                self._begun += 1
                self._at_door.begin_streamed()
                self._tasks.add(task)
                task.add_done_callback(self._on_done)
                await self._room.acquire()
