"""Short requests beside long ones, through Engine.submit: the wait of the short ones at half load against the same alone, and
the rate of the mix when it is saturated; and short requests beside one very long one of a network that is not causal.

Nine of ten requests have 8 time steps, one has 800. Open loop: requests come by a seeded Poisson process whatever the engine
does, and the wait counts from the moment at which a request was due.
"""

from __future__ import annotations

from statistics import median

import numpy as np
import torch

from tests.bench import table
from tests.bench.driver import Driver
from tests.bench.workloads import STACK_A, bidirectional

SHORT_STEPS, LONG_STEPS = 8, 800
LONG_SHARE = 0.1
IN_FLIGHT = 64
ROUNDS = 3
SATURATED_SECONDS = 3.0
OPEN_SECONDS = 5.0
BESIDE_SHORT_GAP_SECONDS, BESIDE_LONG = 0.005, 40
VERY_LONG_STEPS = 100_000


def run() -> None:
    torch.set_num_threads(1)
    _causal()
    _bidirectional()


def _bidirectional() -> None:
    """Each round: alone, then while one request of VERY_LONG_STEPS is under way."""
    schedule = [(BESIDE_SHORT_GAP_SECONDS * i, SHORT_STEPS) for i in range(300)]
    waits: dict[str, list[list[float]]] = {"alone": [], f"beside one of {VERY_LONG_STEPS} steps": []}
    with Driver(bidirectional()) as driver:
        driver.closed_loop(_lengths(1), 4, 0.5)
        for _ in range(ROUNDS):
            for name, companions in zip(waits, ([], [VERY_LONG_STEPS])):
                waits[name].append([wait for _, wait in driver.beside(schedule, companions)])
    floor = _percentiles(waits["alone"])
    table.show(
        f"{SHORT_STEPS} steps every {BESIDE_SHORT_GAP_SECONDS * 1e3:.0f} ms, Bidirectional(LSTM), medians of {ROUNDS} rounds",
        ["traffic", "p50 ms", "p99 ms", "longest ms", "p50 to 'alone'", "p99 to 'alone'"],
        [
            [name, f"{p50:.2f}", f"{p99:.2f}", f"{_longest(rounds):.1f}", f"{p50 / floor[0]:.2f}", f"{p99 / floor[1]:.2f}"]
            for name, rounds in waits.items()
            for p50, p99 in [_percentiles(rounds)]
        ],
    )


def _causal() -> None:
    network = STACK_A.network()
    rates, cpu, waits = [], [], {"mix": [], "alone": [], "long": []}
    with Driver(network) as driver:
        driver.closed_loop(_lengths(1), IN_FLIGHT, 0.5)
        for seed in range(ROUNDS):
            served = driver.closed_loop(_lengths(seed), IN_FLIGHT, SATURATED_SECONDS)
            rates.append(served.sequences / served.seconds)
            cpu.append(served.cpu_seconds / served.sequences * 1000)
            schedule = _poisson(seed, median(rates) / 2)
            mixed = driver.open_loop(schedule)
            alone = driver.open_loop([(due, steps) for due, steps in schedule if steps == SHORT_STEPS])
            waits["mix"].append([wait for steps, wait in mixed if steps == SHORT_STEPS])
            waits["long"].append([wait for steps, wait in mixed if steps == LONG_STEPS])
            waits["alone"].append([wait for _, wait in alone])
        beside = driver.beside([(BESIDE_SHORT_GAP_SECONDS * i, SHORT_STEPS) for i in range(600)], [100_000] * BESIDE_LONG)
    print(f"\nhead of line, stack-a, {1 - LONG_SHARE:.0%} of {SHORT_STEPS} and {LONG_SHARE:.0%} of {LONG_STEPS} time steps")
    print(f"  saturated, {IN_FLIGHT} in flight: {median(rates):.0f} sequences/s, {median(cpu):.3f} CPU s / 1000")
    rows = [(name, *_percentiles(rounds)) for name, rounds in waits.items()]
    rows.append((f"every 5 ms beside {BESIDE_LONG} endless", *_percentiles([[wait for _, wait in beside]])))
    _, _, floor = rows[1]
    table.show(
        f"waits of the short ones at half of that rate, medians of {ROUNDS} rounds",
        ["traffic", "p50 ms", "p99 ms", "p99 to 'alone'"],
        [[name, f"{p50:.2f}", f"{p99:.2f}", f"{p99 / floor:.2f}"] for name, p50, p99 in rows],
    )


def _percentiles(rounds: list[list[float]]) -> tuple[float, float]:
    """(p50, p99) in milliseconds, each the median over the rounds."""
    return median(np.percentile(waits, 50) * 1e3 for waits in rounds), median(np.percentile(waits, 99) * 1e3 for waits in rounds)


def _longest(rounds: list[list[float]]) -> float:
    """Milliseconds, the median over the rounds."""
    return median(max(waits) * 1e3 for waits in rounds)


def _lengths(seed: int) -> list[int]:
    long = np.random.default_rng(seed).random(100_000) < LONG_SHARE
    return np.where(long, LONG_STEPS, SHORT_STEPS).tolist()


def _poisson(seed: int, rate: float) -> list[tuple[float, int]]:
    """(seconds from the start, steps) of every request."""
    gaps = np.random.default_rng(100 + seed).exponential(1 / rate, int(rate * OPEN_SECONDS))
    return list(zip(np.cumsum(gaps).tolist(), _lengths(seed)))
