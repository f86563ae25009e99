"""Two workers against one, preloaded, by the clock on the wall: what a second core adds if the kernel frees the interpreter."""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

import torch

from tests.bench import table, workloads
from tests.bench.driver import Driver

COUNTS = {"stack-a": 512, "seed-tf": 192, "tiny": 2048}
WORKERS = (1, 2)
ROUNDS = 5


def run() -> None:
    torch.set_num_threads(1)
    rows = []
    for workload in workloads.ALL:
        network, sequences = workload.network(), workload.sequences(COUNTS[workload.name])
        seconds: dict[int, list[float]] = {count: [] for count in WORKERS}
        with ExitStack() as stack:
            drivers = {count: stack.enter_context(Driver(network, workers=count)) for count in WORKERS}
            for round_number in range(ROUNDS + 1):
                for count, driver in drivers.items():
                    start = time.monotonic()
                    driver.answer_all(sequences)
                    if round_number:
                        seconds[count].append(time.monotonic() - start)
        one, two = (median(seconds[count]) for count in WORKERS)
        rows.append([workload.name, f"{len(sequences) / one:.0f}", f"{len(sequences) / two:.0f}", f"{one / two:.2f}"])
    table.show("two workers to one, preloaded", ["workload", "sequences/s, 1", "sequences/s, 2", "ratio"], rows)
