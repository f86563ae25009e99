"""The cost of one time step, and the memory beside the inputs, from 100 steps to 100,000: both should be flat."""

from __future__ import annotations

import resource
import time
from statistics import median

import numpy as np
import torch

from tests.bench import table
from tests.bench.driver import Driver
from tests.bench.workloads import SEED_TF

LENGTHS = (100, 1_000, 10_000, 100_000)
ROUNDS = 5
STEPS_A_ROUND = 100_000


def run() -> None:
    torch.set_num_threads(1)
    seconds: dict[int, list[float]] = {steps: [] for steps in LENGTHS}
    grown: dict[int, int] = {}
    inputs = np.random.default_rng(4).standard_normal((max(LENGTHS), SEED_TF.features), dtype=np.float32)
    with Driver(SEED_TF.network()) as driver:
        driver.answer_one_by_one([inputs[:1000]] * 20)
        for steps in LENGTHS:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            driver.answer_one_by_one([inputs[:steps]])
            grown[steps] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        for _ in range(ROUNDS):
            for steps in LENGTHS:
                start = time.process_time()
                driver.answer_one_by_one([inputs[:steps]] * (STEPS_A_ROUND // steps))
                seconds[steps].append((time.process_time() - start) / STEPS_A_ROUND)
    floor = median(seconds[1_000])
    table.show(
        "cost of a time step by length, seed-tf, one sequence at a time",
        ["time steps", "CPU us / step", "ratio to T=1000", "peak memory grew by MB"],
        [
            [
                f"{steps}",
                f"{median(seconds[steps]) * 1e6:.2f}",
                f"{median(seconds[steps]) / floor:.2f}",
                f"{grown[steps] / 1024:.1f}",
            ]
            for steps in LENGTHS
        ],
    )
