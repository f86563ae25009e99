"""Fair timing on a noisy machine: the contenders run in turn, several rounds, CPU seconds of this process, medians.

Knows nothing of what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median


def interleaved_cpu_seconds(contenders: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median CPU seconds (all threads of this process) of one call of each, after one uncounted round."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            if round_number:
                samples[name].append(time.process_time() - start)
    return {name: median(values) for name, values in samples.items()}
