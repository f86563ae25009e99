"""Whether `auto` chooses well: the engine under each kind of traffic, each implementation against what was chosen by measurement;
and what a network with hard_sigmoid costs there, against one with sigmoid.

CPU seconds of the whole process per 1000 sequences, in a closed loop; the contenders take turns, the median counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from statistics import median

import torch

from tests.bench import table, workloads
from tests.bench.driver import KEY, Driver
from tests.bench.workloads import Workload

ROUNDS = 3
SECONDS = 0.25  # of a contender in a round
IN_FLIGHT = (1, 8, 64)
AUTO = "auto"
ACTIVATIONS = ("sigmoid", "hard_sigmoid")


def run() -> None:
    against_fixed()
    rows = [_hard_against_soft(workload, in_flight) for workload in workloads.ALL for in_flight in IN_FLIGHT]
    table.show("CPU s / 1000 whole sequences, auto", ["traffic", *ACTIVATIONS, "ratio"], rows)


def against_fixed(labels: Sequence[str] | None = None, rounds: int = ROUNDS, seconds: float = SECONDS) -> None:
    """labels: of the offered, what auto is held against; None for all. seconds: of a contender in a round."""
    torch.set_num_threads(1)
    for workload in workloads.ALL:
        network = workload.network()
        fixed = [label for label in network.offered if labels is None or label in labels]
        with ExitStack() as stack:
            drivers = {label: stack.enter_context(Driver(network, label)) for label in fixed}
            auto = stack.enter_context(Driver(network))
            calibration = auto.engine.measure(KEY)
            auto.engine.choose(KEY, calibration.choices)
            kinds = [(name, in_flight) for name in ("whole sequences", "single steps") for in_flight in IN_FLIGHT]
            rows = [_row({**drivers, AUTO: auto}, workload, name, in_flight, rounds, seconds) for name, in_flight in kinds]
        chosen = ", ".join(f"{kind} {label}" for kind, label in calibration.choices.items())
        title = f"{workload.name}: CPU s / 1000 sequences (auto: {chosen})"
        table.show(title, ["traffic", *fixed, AUTO, "auto / best fixed"], rows)


def _hard_against_soft(workload: Workload, in_flight: int) -> list[str]:
    with ExitStack() as stack:
        drivers = {}
        for name in ACTIVATIONS:
            driver = drivers[name] = stack.enter_context(Driver(replace(workload, recurrent_activation=name).network()))
            driver.engine.choose(KEY, driver.engine.measure(KEY).choices)
        soft, hard = _medians(drivers, workload, "whole sequences", in_flight, ROUNDS, SECONDS).values()
    return [f"{workload.name}, {in_flight} in flight", f"{soft:.3f}", f"{hard:.3f}", f"{hard / soft:.2f}"]


def _row(drivers: dict[str, Driver], workload: Workload, name: str, in_flight: int, rounds: int, seconds: float) -> list[str]:
    found = _medians(drivers, workload, name, in_flight, rounds, seconds)
    fixed = min(value for label, value in found.items() if label != AUTO)
    return [f"{name}, {in_flight} in flight", *(f"{value:.3f}" for value in found.values()), f"{found[AUTO] / fixed:.2f}"]


def _medians(
    drivers: dict[str, Driver], workload: Workload, name: str, in_flight: int, rounds: int, seconds: float
) -> dict[str, float]:
    """CPU seconds per 1000 sequences."""
    samples: dict[str, list[float]] = {label: [] for label in drivers}
    for turn in range(rounds + 1):
        for label, driver in drivers.items():
            served = driver.closed_loop(_lengths(workload, name), in_flight, seconds)
            if turn and served.sequences:
                samples[label].append(1000 * served.cpu_seconds / served.sequences)
    return {label: median(values) for label, values in samples.items()}


def _lengths(workload: Workload, name: str) -> Iterator[int]:
    return cycle([1] if name == "single steps" else [len(sequence) for sequence in workload.sequences(256)])
