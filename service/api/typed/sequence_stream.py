"""One open cellserve.v1.Sequences.Stream: its requests in flight by id. Messages in, messages out; knows no model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from cellserve.service.api.requests.row_inputs import deadline
from cellserve.service.api.status import CODES, retry_after_seconds
from cellserve.service.api.streams import StreamedRequests
from cellserve.service.engine.asker import ANYBODY, Asker
from cellserve.service.errors import DeadlineExpired, InvalidInput, ServiceError
from cellserve.service.pb import cellserve_pb2 as pb

MAX_ID_CHARACTERS: Final = 128
_INFERENCE: Final = ("run", "feed", None)  # what asks for nothing known might have been one

Act = Callable[[Any, float | None], Awaitable[Any]]


class SequenceStream:
    """acts: by the action's name, what answers its message within a deadline on time.monotonic's clock (None: no limit).

    What two requests do before they first wait, they do in the order of the requests. Lives on the event loop.
    """

    def __init__(
        self,
        acts: Mapping[str, Act],
        around: StreamedRequests,
        time_remaining: Callable[[], float | None],
        asker: Asker = ANYBODY,
    ) -> None:
        """time_remaining: seconds of the whole stream, None for no limit."""
        self._acts = acts
        self._around = around
        self._time_remaining = time_remaining
        self._asker = asker
        self._in_flight: dict[str, asyncio.Task[pb.StreamReply]] = {}

    def start(self, request: pb.StreamRequest) -> asyncio.Task[pb.StreamReply] | None:
        """The task that answers `request`; None for a cancel."""
        action = request.WhichOneof("action")
        if action == "cancel":
            self._cancel(request.id)
            return None
        known = request.id in self._in_flight
        behaviour = partial(_refuse_used_id, request.id) if known else partial(self._answer, request, action)
        answer = self._around.answer(behaviour, partial(_failure, request.id), self._asker, action in _INFERENCE)
        task = asyncio.create_task(answer)
        if request.id and not known:
            self._in_flight[request.id] = task
            task.add_done_callback(lambda _: self._in_flight.pop(request.id, None))
        return task

    def _cancel(self, request_id: str) -> None:
        task = self._in_flight.get(request_id)
        if task is not None:
            task.get_loop().call_soon(task.cancel)  # after its first step: a task that never began could not reply

    async def _answer(self, request: pb.StreamRequest, action: str | None, request_id: str) -> pb.StreamReply:
        if len(request.id) > MAX_ID_CHARACTERS:
            raise InvalidInput(f"the id has {len(request.id)} characters; {MAX_ID_CHARACTERS} are the most taken", field="id")
        if action is None:
            known = ", ".join((*self._acts, "cancel"))
            raise InvalidInput(f"the message asks for nothing that this server knows; set one of: {known}", field="action")
        timeout_seconds = _timeout_seconds(request)
        ends_seconds = deadline(self._time_remaining(), timeout_seconds)
        act = self._acts[action](getattr(request, action), ends_seconds)
        answer = await (act if timeout_seconds is None else _within(timeout_seconds, act))
        return pb.StreamReply(id=request.id, request_id=request_id, **{action: answer})


async def _within(seconds: float, act: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await act
    except TimeoutError as error:
        raise DeadlineExpired("the time given for this request is over") from error


async def _refuse_used_id(given: str, request_id: str) -> pb.StreamReply:
    raise InvalidInput(f"a request with the id {given[:MAX_ID_CHARACTERS]!r} is in flight on this stream already", field="id")


def _timeout_seconds(request: pb.StreamRequest) -> float | None:
    seconds = request.timeout_seconds
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidInput(f"timeout_seconds is {seconds}, expected 0 (none) or more", field="timeout_seconds")
    return seconds or None


def _failure(given: str, error: ServiceError, request_id: str) -> pb.StreamReply:
    number: int = CODES[error.reason].value[0]
    told = pb.Error(
        code=number,
        reason=error.reason,
        message=str(error),
        field=error.field or "",
        retry_after_seconds=retry_after_seconds(error) or 0.0,
        metadata=error.metadata,
    )
    return pb.StreamReply(id=given, request_id=request_id, error=told)
