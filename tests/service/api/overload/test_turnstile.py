"""How many streamed requests begin in a turn of the event loop."""

from __future__ import annotations

import asyncio

from cellserve.service.api.overload.turnstile import Turnstile


async def test_a_few_in_each_turn_and_in_order() -> None:
    turnstile, begun, turn = Turnstile(), [], 0

    async def begin(number: int) -> None:
        await turnstile.turn()
        begun.append((number, turn))

    tasks = [asyncio.create_task(begin(number)) for number in range(40)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn += 1
    assert [number for number, _ in begun] == list(range(40))
    turns = [turn for _, turn in begun]
    assert max(turns.count(each) for each in turns) <= 8
    assert turns[-1] < 20


async def test_who_left_takes_nobodys_turn() -> None:
    turnstile = Turnstile()
    tasks = [asyncio.create_task(turnstile.turn()) for _ in range(30)]
    await asyncio.sleep(0)
    for task in tasks[8:24]:
        task.cancel()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks, return_exceptions=True)
        await turnstile.turn()
