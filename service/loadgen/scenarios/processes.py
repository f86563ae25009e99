"""Shares a scenario out among processes, which begin together, and gathers what came. Knows no figures."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Final

from cellserve.service.loadgen.errors import ProcessDied
from cellserve.service.loadgen.scenarios.scenario import Scenario
from cellserve.service.loadgen.scenarios.sending import Sent, client_of, send
from cellserve.service.loadgen.scenarios.stream import Stream

_HEAD_START_SECONDS: Final = 0.2  # from when all are ready to the first request


def send_all(scenario: Scenario, arguments: dict[str, Any], streams: Sequence[Stream]) -> tuple[float, list[Sent]]:
    """When it began, on the clock of `time.perf_counter`, and what each process sent. arguments: of AsyncClient."""
    if scenario.processes == 1:
        start = time.perf_counter() + _HEAD_START_SECONDS
        return start, [asyncio.run(_send(scenario, arguments, streams, start, 0))]
    context = multiprocessing.get_context("spawn")  # a copy of a process that has threads of gRPC would hang
    ends = []
    for number in range(scenario.processes):
        here, there = context.Pipe()
        share = [stream.share(number, scenario.processes) for stream in streams]
        process = context.Process(target=_share, args=(there, scenario, arguments, share, number), daemon=True)
        process.start()
        there.close()
        ends.append((process, here))
    try:
        for _, here in ends:
            _received(here)  # ready
        start = time.perf_counter() + _HEAD_START_SECONDS
        for _, here in ends:
            here.send(start)
        return start, [_received(here) for _, here in ends]
    finally:
        for process, here in ends:
            here.close()
            process.terminate()
            process.join()


def _received(end: Connection) -> Any:
    try:
        told = end.recv()
    except EOFError:
        raise ProcessDied("a process of the load test died; its last words are above") from None
    if isinstance(told, Exception):
        raise told
    return told


def _share(end: Connection, scenario: Scenario, arguments: dict[str, Any], streams: Sequence[Stream], number: int) -> None:
    """A process: says that it is ready, is told when to begin, and answers with what it sent."""
    end.send(None)
    start = end.recv()
    end.send(asyncio.run(_send(scenario, arguments, streams, start, number)))


async def _send(scenario: Scenario, arguments: dict[str, Any], streams: Sequence[Stream], start: float, number: int) -> Sent:
    async with client_of(arguments, scenario.retry) as client:
        await client.ready()  # the connection is there before the first request is due
        return await send(client, scenario, streams, start, number)
