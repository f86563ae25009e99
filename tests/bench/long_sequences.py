"""The cost of one time step, and the memory beside the inputs, from 100 steps to 100,000: both should be flat.

One sequence at a time, where the call and the engine around it are all on one sequence, and sixteen at a time.
"""

from __future__ import annotations

import resource
import time
from statistics import median

import numpy as np
import torch

from tests.bench import table
from tests.bench.driver import Driver
from tests.bench.workloads import SEED_TF, STACK_A, Workload

LENGTHS = (100, 1_000, 10_000, 100_000)
ROWS = (1, 16)
ROUNDS = 3
STEPS_A_ROUND = {SEED_TF.name: 100_000, STACK_A.name: 20_000}
_LONGEST_TURNS = 5  # times the steps of a round: longer ones would take too long
COLUMNS = ("time steps", "at a time", "CPU us / step", "ratio to T=1000", "peak memory grew by MB")


def run() -> None:
    torch.set_num_threads(1)
    for workload in (SEED_TF, STACK_A):
        with Driver(workload.network()) as driver:
            for rows in ROWS:
                _show(workload, driver, rows)


def _show(workload: Workload, driver: Driver, rows: int) -> None:
    budget = STEPS_A_ROUND[workload.name] * rows
    lengths = [steps for steps in LENGTHS if steps * rows <= _LONGEST_TURNS * STEPS_A_ROUND[workload.name]]
    inputs = np.random.default_rng(4).standard_normal((max(lengths), workload.features), dtype=np.float32)
    driver.answer_all([inputs[:1000]] * 20)
    grown: dict[int, int] = {}
    for steps in lengths:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        driver.answer_all([inputs[:steps]] * rows)
        grown[steps] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    seconds: dict[int, list[float]] = {steps: [] for steps in lengths}
    for _ in range(ROUNDS):
        for steps in lengths:
            turns = max(1, budget // (steps * rows))
            start = time.process_time()
            for _ in range(turns):
                driver.answer_all([inputs[:steps]] * rows)
            seconds[steps].append((time.process_time() - start) / (turns * steps * rows))
    floor = median(seconds[1_000])
    table.show(
        f"cost of a time step by length, {workload.name}",
        COLUMNS,
        [
            [
                f"{steps}",
                f"{rows}",
                f"{median(seconds[steps]) * 1e6:.2f}",
                f"{median(seconds[steps]) / floor:.2f}",
                f"{grown[steps] / 1024:.1f}",
            ]
            for steps in lengths
        ],
    )
