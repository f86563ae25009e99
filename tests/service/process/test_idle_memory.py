"""Memory is given back when the process rests, and only then."""

import asyncio

import pytest

from cellserve.service.process.idle_memory import IdleMemory, Rest

MEBIBYTE = 2**20
RESTING, BUSY = 0.1, 5.0  # processor seconds of ten


def test_what_has_risen_is_given_back_once_the_process_rests() -> None:
    rest = Rest()
    assert not rest.is_due(300 * MEBIBYTE, RESTING, 10)
    assert not rest.is_due(600 * MEBIBYTE, BUSY, 10)
    assert rest.is_due(600 * MEBIBYTE, RESTING, 10)


def test_what_is_still_there_after_a_trim_is_in_use() -> None:
    rest = Rest()
    rest.is_due(300 * MEBIBYTE, RESTING, 10)
    rest.trimmed(600 * MEBIBYTE)
    assert not rest.is_due(610 * MEBIBYTE, RESTING, 10)
    assert rest.is_due(640 * MEBIBYTE, RESTING, 10)


def test_a_fall_is_the_new_floor() -> None:
    rest = Rest()
    rest.trimmed(600 * MEBIBYTE)
    assert not rest.is_due(200 * MEBIBYTE, RESTING, 10)
    assert rest.is_due(240 * MEBIBYTE, RESTING, 10)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([100, 100, 500, 120], id="while it runs"),
        pytest.param([100, 500], id="before the first look"),
    ],
)
async def test_it_looks_and_trims_until_it_is_stopped(seen: list[int]) -> None:
    """seen: resident mebibytes; the last stays."""
    trimmed = asyncio.Event()
    loop, resident = asyncio.get_running_loop(), iter(seen)
    memory = IdleMemory(
        lambda: next(resident, seen[-1]) * MEBIBYTE,
        lambda: loop.call_soon_threadsafe(trimmed.set) and None,
        0.001,
        cpu_clock=lambda: 0.0,
    )
    memory.start()
    await asyncio.wait_for(trimmed.wait(), 60)
    await memory.stop()


async def test_where_the_system_does_not_tell_nothing_is_done() -> None:
    trims: list[None] = []
    memory = IdleMemory(lambda: None, lambda: trims.append(None), 0.001)
    memory.start()
    await asyncio.sleep(0.01)
    await memory.stop()
    assert not trims
