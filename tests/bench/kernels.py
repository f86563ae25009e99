"""One call of a network under each implementation: rows x time steps, even and ragged; packed against onnxruntime; hard_sigmoid.

Milliseconds of the calling thread, the lowest of several turns: what is left of a call when nobody disturbs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from cellserve.models.implementations import IN_BFLOAT16
from cellserve.models.measuring.benchmark_call import BenchmarkCall
from cellserve.models.network import Network
from tests.bench import table, workloads
from tests.bench.workloads import Workload

Shape = tuple[int, int]  # rows, time steps

SHAPES = ((1, 1), (32, 1), (1, 16), (8, 16), (16, 16), (32, 16), (32, 64))
TURNS = 12
SLOW_SECONDS = 0.02  # of a call: two turns are enough
KERNEL_SHAPES = tuple((rows, steps) for rows in (1, 8, 32) for steps in (16, 64, 510))
KERNELS = ("onnxruntime", "packed")
PRODUCT_SHAPES = tuple((rows, 16) for rows in (1, 8, 32, 64))
BFLOAT16_SHAPES = tuple((rows, 16) for rows in (1, 8, 32, 64))
ACTIVATIONS = ("sigmoid", "hard_sigmoid", "hard_sigmoid_relu6")


def run() -> None:
    torch.set_num_threads(1)
    for workload in workloads.ALL:
        network = workload.network()
        rows = [_row(network, rows, steps, ragged) for rows, steps in SHAPES for ragged in (False, True)[: min(rows, steps)]]
        table.show(f"one call, {workload.name}: ms, and times the fastest", ["rows x steps", *network.implementations], rows)
    packed_against_onnxruntime()
    packed_against_products()
    bfloat16_against_float32()
    by_activation(KERNELS, SHAPES)


def by_activation(labels: Sequence[str], shapes: Sequence[Shape]) -> None:
    torch.set_num_threads(1)
    for workload in workloads.ALL:
        networks = {name: replace(workload, recurrent_activation=name).network() for name in ACTIVATIONS}
        for label in labels:
            rows = [_activations(networks, label, rows, steps) for rows, steps in shapes]
            table.show(f"{label}, {workload.name}, by recurrent_activation: ms", ["rows x steps", *ACTIVATIONS, "ratio"], rows)


def packed_against_onnxruntime(shapes: Sequence[Shape] = KERNEL_SHAPES) -> None:
    """A chunk in one call, in turns."""
    torch.set_num_threads(1)
    networks = {workload.name: workload.network() for workload in workloads.ALL}
    rows = []
    for count, steps in shapes:
        cells = []
        for network in networks.values():
            probe = BenchmarkCall(network, [steps] * count)
            lowest = _lowest({label: (probe, label) for label in KERNELS})
            cells.append(f"{lowest['packed']:.3f} / {lowest['onnxruntime']:.3f} = {lowest['packed'] / lowest['onnxruntime']:.2f}")
        rows.append([f"{count} x {steps}", *cells])
    table.show("one call, packed / onnxruntime: ms", ["rows x steps", *networks], rows)


def packed_against_products() -> None:
    """The speed of a whole chunk, as a part of that of its products alone: one of torch's for each recurrent layer and step."""
    torch.set_num_threads(1)
    networks, rows = {workload: workload.network() for workload in workloads.ALL}, []
    for count, steps in PRODUCT_SHAPES:
        cells = []
        for workload, network in networks.items():
            lowest = _lowest(
                {
                    "products": (_products(workload, count, steps), ""),
                    "packed": (BenchmarkCall(network, [steps] * count), "packed"),
                }
            )
            cells.append(f"{lowest['products'] / lowest['packed']:.2f}")
        rows.append([f"{count} x {steps}", *cells])
    table.show("one call, speed of packed / of products", ["rows x steps", *(workload.name for workload in networks)], rows)


def _products(workload: Workload, count: int, steps: int) -> Callable[[str], object]:
    widths = [workload.features, *workload.units]
    factors = [(torch.ones(count, width + units), torch.ones(width + units, 4 * units)) for width, units in pairwise(widths)]
    made = [torch.empty(count, weights.shape[1]) for _, weights in factors]

    def multiply(_: str) -> None:
        for _step in range(steps):
            for (rows, weights), out in zip(factors, made):
                torch.mm(rows, weights, out=out)

    return multiply


def bfloat16_against_float32() -> None:
    """A chunk in one call, in turns: times onnxruntime's, and times packed's. Nothing where the processor cannot."""
    torch.set_num_threads(1)
    networks = {workload.name: workload.network() for workload in workloads.ALL}
    if any(network.implementations[IN_BFLOAT16] is not None for network in networks.values()):
        return
    labels, rows = (*KERNELS, IN_BFLOAT16), []
    for count, steps in BFLOAT16_SHAPES:
        cells = []
        for network in networks.values():
            lowest = _lowest({label: (BenchmarkCall(network, [steps] * count), label) for label in labels})
            cells.append(", ".join(f"{lowest[IN_BFLOAT16] / lowest[label]:.2f}" for label in KERNELS))
        rows.append([f"{count} x {steps}", *cells])
    table.show("one call, packed-bfloat16 / onnxruntime, / packed", ["rows x steps", *networks], rows)


def _row(network: Network, rows: int, steps: int, ragged: bool) -> list[str]:
    probe = BenchmarkCall(network, _lengths(rows, steps, ragged))
    lowest = _lowest({label: (probe, label) for label in network.offered})
    fastest = min(lowest.values())
    cells = [f"{lowest[label]:.3f} ({lowest[label] / fastest:.1f})" for label in network.implementations]
    return [f"{rows} x {steps}{' ragged' if ragged else ''}", *cells]


def _activations(networks: dict[str, Network], label: str, rows: int, steps: int) -> list[str]:
    lowest = _lowest({name: (BenchmarkCall(network, [steps] * rows), label) for name, network in networks.items()})
    hard = max(lowest["hard_sigmoid"], lowest["hard_sigmoid_relu6"])
    return [f"{rows} x {steps}", *(f"{value:.3f}" for value in lowest.values()), f"{hard / lowest['sigmoid']:.2f}"]


def _lowest(contenders: Mapping[str, tuple[Callable[[str], object], str]]) -> dict[str, float]:
    """Milliseconds by contender."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(TURNS):
        for name, (probe, label) in contenders.items():
            if turn < 3 or min(seconds[name]) < SLOW_SECONDS:
                start = time.thread_time()
                probe(label)
                seconds[name].append(time.thread_time() - start)
    return {name: 1000 * min(values) for name, values in seconds.items()}


def _lengths(rows: int, steps: int, ragged: bool) -> list[int]:
    """Even, or evenly spread between half of the steps and all."""
    return [max(1, steps - row * steps // (2 * rows)) for row in range(rows)] if ragged else [steps] * rows
