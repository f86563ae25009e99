"""Patience counts what somebody could have worked in, and nothing else."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.patience import nobody, waiting_for_a_processor, within


async def _late() -> str:
    await asyncio.sleep(0.05)
    return "answer"


async def test_who_waits_for_a_processor_all_the_time_is_waited_for() -> None:
    assert await within(0.001, _late(), time.monotonic) == "answer"


async def test_who_could_have_answered_hangs() -> None:
    with pytest.raises(TimeoutError, match="in which it could have"):
        await within(0.01, asyncio.Event().wait(), nobody)


async def test_what_fails_says_so_itself() -> None:
    async def fails() -> None:
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        await within(1.0, fails(), nobody)


async def test_who_is_given_up_on_is_ended() -> None:
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await within(0.01, hangs(), nobody)
    assert ended.is_set()


def test_what_a_process_has_waited_only_grows() -> None:
    waited = waiting_for_a_processor()
    first = waited()
    assert 0.0 <= first <= waited()
