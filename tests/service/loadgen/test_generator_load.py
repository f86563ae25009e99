"""When a load test must be told that it measured itself."""

import asyncio

import pytest

from cellserve.service.loadgen.generator_load import GeneratorLoad, LoopWatch

IDLE = {"cpu_cores": 0.2, "send_lag_p99_seconds": 0.0005, "send_lag_max_seconds": 0.1, "loop_lag_p99_seconds": 0.0005}


@pytest.mark.parametrize(
    ("measured", "p99_seconds", "said"),
    [
        ({}, 0.001, None),
        ({"cpu_cores": 0.97}, 1.0, "0.97 of the one core"),
        ({"send_lag_p99_seconds": 0.005}, 0.019, "left 5.0 ms or more after it was due"),
        ({"send_lag_p99_seconds": 0.005}, 0.021, None),
        ({"send_lag_p99_seconds": 0.0019}, 0.001, None),
        ({"loop_lag_p99_seconds": 0.030}, 0.100, "up to 30.0 ms late"),
    ],
)
def test_complaints(measured: dict[str, float], p99_seconds: float, said: str | None) -> None:
    complaint = GeneratorLoad(**{**IDLE, **measured}).complaint(p99_seconds)
    if said is None:
        assert complaint is None
    else:
        assert complaint is not None
        assert said in complaint


async def test_the_watch_measures_processor_and_sends_on_its_clocks() -> None:
    wall, cpu = iter([10.0, *[10.5] * 50]), iter([1.0, 1.25])
    async with LoopWatch(clock=lambda: next(wall), cpu_clock=lambda: next(cpu)) as watch:
        load = watch.load([0.0, 0.3])
    assert load.cpu_cores == pytest.approx(0.5)
    assert load.send_lag_max_seconds == 0.3


async def test_the_watch_notices_a_blocked_loop_and_ends_with_its_block() -> None:
    now = 0.0

    def clock() -> float:
        return now

    async with LoopWatch(clock=clock) as watch:
        await asyncio.sleep(0)
        now = 5.0
        await asyncio.sleep(0.02)
        assert watch.load([]).loop_lag_p99_seconds > 4
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
