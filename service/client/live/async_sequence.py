"""A live sequence in the hands of AsyncClient, which makes them. Says what may be done; how it is sent, the client knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, Unpack, overload

from cellserve.service.client.live.conversation import Talk
from cellserve.service.client.live.facts import SequenceFacts
from cellserve.service.client.live.feed import FeedOptions, feed_question
from cellserve.service.client.live.sequence import Course
from cellserve.service.client.prediction import Prediction
from cellserve.service.client.tensors import Array, WireDtype
from cellserve.service.errors import InvalidInput, ServiceError

Result = TypeVar("Result")


class Converse(Protocol):
    """Holds a conversation with the server. timeout_seconds: for all of it; None: the client's."""

    def __call__(self, talk: Talk[Result], timeout_seconds: float | None = None) -> Awaitable[Result]: ...


class AsyncLiveSequence(SequenceFacts):
    """One sequence whose recurrent state the server keeps. Feeds of one object are sent one after the other.

    `async with` opens it where that is still to be done, and closes it at the end; without, it lives until it expires.
    """

    def __init__(self, course: Course, converse: Converse, begin: Callable[[], Talk[None]], wire_dtype: WireDtype) -> None:
        """begin: the conversation that opens it."""
        super().__init__(course)
        self._converse = converse
        self._begin: Callable[[], Talk[None]] | None = begin
        self._wire_dtype = wire_dtype
        self._turn = asyncio.Lock()

    async def open(self) -> Self:
        """Begins it at the server. Done by `async with` too; doing it again does nothing. Raises ServiceError."""
        async with self._turn:
            if self._begin is not None:
                await self._converse(self._begin())
                self._begin = None
        return self

    @overload
    async def feed(self, x: Array, *, return_state: Literal[False] = False, **options: Unpack[FeedOptions]) -> Array: ...
    @overload
    async def feed(self, x: Array, *, return_state: Literal[True], **options: Unpack[FeedOptions]) -> Prediction: ...

    async def feed(self, x: Array, *, return_state: bool = False, **options: Unpack[FeedOptions]) -> Array | Prediction:
        """The model's first output after these steps: [units], or for each of them, [T, units], where it returns sequences.

        x: [T, F] of floats or ids [T]; one step: [F] of floats or one id, answered with [units].

        Sent again after failures that may pass; applied once. What the server has lost since its last durable write is fed
        again, as far as it is kept (ReplayLimits). After a feed that raised, feed the same steps again, or ask `settle`.

        Raises ServiceError: SequencePosition, whose `position` is the server's; SequenceLost, SequenceExpired …; FeedUnsettled.
        """
        prediction = await self.run(x, return_state=return_state, **options)
        return prediction if return_state else _one(prediction.answer)

    async def run(self, x: Array, *, return_state: bool = False, **options: Unpack[FeedOptions]) -> Prediction:
        """As feed; always the whole answer: every output, version, implementation, timings. Raises ServiceError."""
        asked = feed_question(self.model, x, return_state, self._wire_dtype, options)
        async with self._turn:
            self._require_open()
            return await self._converse(self._course.feeding(*asked), options.get("timeout_seconds"))

    async def settle(self) -> bool:
        """Whether the steps of the last feed, which raised, were consumed all the same. Raises ServiceError."""
        async with self._turn:
            return await self._converse(self._course.settling())

    async def snapshot(self) -> bytes:
        """State and position, for `restore` on any server with the same weights. Raises ServiceError."""
        async with self._turn:
            return await self._converse(self._course.snapshotting())

    async def close(self) -> None:
        """Ends it at the server; one that is gone is closed already. Raises ServiceError."""
        async with self._turn:
            if self._begin is None and not self._course.closed:
                await self._converse(self._course.closing())

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            await self.close()
            return
        try:
            await self.close()
        except ServiceError as also:
            if error is not None:
                error.add_note(f"closing the sequence {self.id} failed too: {also}")

    def _require_open(self) -> None:
        if self._begin is not None or self._course.closed:
            state = "closed" if self._course.closed else "not open yet: use `async with`, or await open()"
            raise InvalidInput(f"this sequence is {state}", field="sequence_id")


def _one(answer: Any) -> Array:
    return answer  # type: ignore[no-any-return]  # one row was asked for, so it is no list
