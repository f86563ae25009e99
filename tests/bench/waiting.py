"""A queue of a hundred thousand short requests against one of a thousand: each should cost the same."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import torch

from tests.bench import table
from tests.bench.driver import Driver
from tests.bench.workloads import TINY

COUNTS = (1_000, 10_000, 100_000)
STEPS = 4
ROUNDS = 3


def run() -> None:
    torch.set_num_threads(1)
    inputs = np.random.default_rng(5).standard_normal((STEPS, TINY.features), dtype=np.float32)
    seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
    with Driver(TINY.network()) as driver:
        for _ in range(ROUNDS):
            for count in COUNTS:
                start = time.process_time()
                driver.answer_all([inputs] * count)
                seconds[count].append((time.process_time() - start) / count)
    floor = median(seconds[COUNTS[0]])
    table.show(
        f"many waiting, tiny, {STEPS} time steps each, all submitted before the first is awaited",
        ["waiting", "CPU us / sequence", f"ratio to {COUNTS[0]}"],
        [[f"{count}", f"{median(values) * 1e6:.1f}", f"{median(values) / floor:.2f}"] for count, values in seconds.items()],
    )
