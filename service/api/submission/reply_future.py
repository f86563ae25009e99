"""What a request waits for: a result that wakes its task at once.

A future of asyncio asks the event loop to wake the task in its next turn; for requests that are answered one after the other,
this turn costs more than the reply does. Knows no deliveries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class ReplyFuture(Generic[Result]):
    """Awaited once, by one task of `loop`. A task takes it for a future by the first of its attributes, as asyncio has it."""

    __slots__ = ("_asyncio_future_blocking", "_context", "_done", "_error", "_loop", "_result", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._done = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._wake: Callable[[Any], object] | None = None
        self._context: Context | None = None

    def set_result(self, result: Result) -> None:
        """Lets the task go on before this returns: only for a callback of the loop, in which no other task is running."""
        self._done, self._result = True, result
        if self._wake is not None and self._context is not None:
            self._context.run(self._wake, self)

    def set_exception(self, error: BaseException) -> None:
        """The task goes on in the loop's next turn."""
        self._done, self._error = True, error
        if self._wake is not None:
            self._loop.call_soon(self._wake, self, context=self._context)

    def done(self) -> bool:
        return self._done

    def __await__(self) -> Generator[ReplyFuture[Result], None, Result]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self  # which raises here what has gone wrong: the task asks for the result first
            return self._result  # type: ignore[return-value]  # set_result has been called
        return self.result()

    # --- what a task asks of what it waits for ---

    def result(self) -> Result:
        """Once. An error that is raised holds this frame: if the frame held the error, the request would live in a circle."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        return self._result  # type: ignore[return-value]  # set_result has been called

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        self._wake, self._context = wake, context

    def cancel(self, msg: object = None) -> bool:
        """False if it was done already."""
        if not self._done:
            self.set_exception(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
            return True
        return False
