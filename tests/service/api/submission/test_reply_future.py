from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from contextvars import ContextVar

import pytest

from cellserve.service.api.submission.reply_future import ReplyFuture

HERE: ContextVar[str] = ContextVar("here", default="nowhere")


async def test_the_task_goes_on_before_set_result_returns_in_its_own_context() -> None:
    loop = asyncio.get_running_loop()
    answer: ReplyFuture[int] = ReplyFuture(loop)
    seen: list[object] = []

    async def wait() -> None:
        HERE.set("inside")
        seen.append(await answer)
        seen.append(HERE.get())

    def answer_now() -> None:
        answer.set_result(7)
        seen.append("returned")

    task = asyncio.create_task(wait())
    loop.call_soon(answer_now)  # after the task's first step
    await task
    assert seen == [7, "inside", "returned"]


async def test_a_result_that_is_there_already_is_not_waited_for() -> None:
    answer: ReplyFuture[str] = ReplyFuture(asyncio.get_running_loop())
    answer.set_result("early")
    assert await answer == "early"
    assert answer.done()


async def test_an_error_is_raised_where_it_is_awaited() -> None:
    loop = asyncio.get_running_loop()
    answer: ReplyFuture[str] = ReplyFuture(loop)
    loop.call_soon(answer.set_exception, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await answer


async def test_a_cancelled_task_stops_waiting() -> None:
    answer: ReplyFuture[str] = ReplyFuture(asyncio.get_running_loop())

    async def wait() -> str:
        return await answer

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.done()
    assert not answer.cancel()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_whoever_ends_with_an_error_leaves_nothing_to_the_collector(cancelled: bool) -> None:
    class Payload:
        """Of a request."""

    async def request(answer: ReplyFuture[str], payload: Payload) -> None:
        with contextlib.suppress(asyncio.CancelledError, ValueError):
            await answer

    gc.collect()
    gc.disable()
    try:
        answer: ReplyFuture[str] = ReplyFuture(asyncio.get_running_loop())
        payload = Payload()
        kept = weakref.ref(payload)
        task = asyncio.create_task(request(answer, payload))
        del payload
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        else:
            answer.set_exception(ValueError("no"))
        await task
        del task, answer
        assert kept() is None
    finally:
        gc.enable()


async def test_a_deadline_around_it_holds() -> None:
    answer: ReplyFuture[str] = ReplyFuture(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await answer
