"""A network measured on this machine: every implementation over a grid of rows x time steps, and what to use for which traffic.

For each cell of the grid the median latency of a call, the peak memory of one, and for each implementation the largest
difference to the float64 oracle. A call is what the engine makes of a batch: a causal network is advanced by all steps (its
head, the same for all, is left out), another one runs whole. On the processor, one thread, whose own seconds count: the latency
where nobody else wants the core. What the clock on the wall said is told beside. Knows no terminal and no files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import exp, fsum, inf, log, prod
from statistics import median
from typing import Final

import numpy as np
import torch

from cellserve.models import reference
from cellserve.models.description.shapes import expected_weights, fitting, infer_shapes, minimum_time_steps, required_time_steps
from cellserve.models.description.step_counts import steps_of
from cellserve.models.measuring import resident_memory
from cellserve.models.measuring.benchmark_call import BenchmarkCall
from cellserve.models.measuring.golden_pair import GoldenPair, golden_inputs
from cellserve.models.measuring.parity import verify
from cellserve.models.measuring.traffic import MANY_ROWS, TRAFFIC_KINDS, TrafficKind, kind_of
from cellserve.models.network import Network
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights

FEWEST_CALLS: Final = 5  # of each implementation in a cell, however slow
_ORACLE_STEPS: Final = 100  # of its longest row
_ORACLE_PRODUCTS: Final = 200_000_000  # numbers of the weights times steps: about a second
_NOTICEABLE_BYTES: Final = 2**20
_NUMBER_BYTES: Final = np.dtype(np.float32).itemsize
_INPUT_COPIES: Final = 4  # as tiled, laid out by time, in host memory for ONNX Runtime, and one on the way
_ROW_BYTES: Final = 200  # of a row's length, state and index, as Python keeps them

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a call: `rows` sequences side by side, each of `steps` time steps."""

    rows: int
    steps: int

    @property
    def traffic(self) -> TrafficKind:
        return kind_of(self.steps, self.rows >= MANY_ROWS)

    def __str__(self) -> str:
        return f"{self.rows} x {self.steps}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One implementation in one cell. Medians of `calls` calls. `peak_bytes`: see resident_memory; None if it does not tell."""

    implementation: str
    shape: Shape
    calls: int
    median_seconds: float  # of the calling thread
    median_wall_seconds: float
    peak_bytes: int | None

    @property
    def steps_per_second(self) -> float:
        """Time steps of all rows."""
        return self.shape.rows * self.shape.steps / self.median_seconds


@dataclass(frozen=True, slots=True)
class Recommendation:
    """For a kind of traffic: the fastest over its cells.

    times: latency relative to the fastest of the cell, by implementation, the geometric mean over cells. least_memory: which has
    the smallest peak in the largest of those cells; None where it was not measured, or is below 1 MiB for all.
    """

    traffic: TrafficKind
    implementation: str
    times: Mapping[str, float]
    least_memory: str | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What `measure` found.

    measurements: cell by cell, implementations in the order asked for. differences: the largest one to the oracle, on rows of
    `oracle_steps` time steps and fewer. refused: why the others cannot run this network.
    """

    measurements: tuple[Measurement, ...]
    differences: Mapping[str, float]
    oracle_steps: int
    refused: Mapping[str, str]

    @property
    def implementations(self) -> tuple[str, ...]:
        return tuple(self.differences)

    @property
    def busy(self) -> float:
        """How often as long as the calls took they lasted, since others wanted the core; 1 on an idle machine."""
        return fsum(one.median_wall_seconds for one in self.measurements) / fsum(one.median_seconds for one in self.measurements)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(dict.fromkeys(one.shape for one in self.measurements))

    def cell(self, shape: Shape) -> list[Measurement]:
        return [one for one in self.measurements if one.shape == shape]


def grid(spec: ModelSpec, rows: Sequence[int], steps: Sequence[int]) -> tuple[Shape, ...]:
    """Every pair, few rows first. Steps that no sequence of this model can have become those which it can."""
    fixed, fewest = required_time_steps(spec), minimum_time_steps(spec)
    possible = {max(fewest, count) if fixed is None else fixed for count in steps}
    return tuple(Shape(count, length) for count in sorted(set(rows)) for length in sorted(possible))


def bytes_needed(spec: ModelSpec, shape: Shape) -> int:
    """About what a call of that shape takes of memory at its peak: its inputs and their copies, and what each layer makes of
    every step, the products of a recurrent layer's inputs with all its gates among it.
    """
    shapes = infer_shapes(spec)
    inputs = sum(prod(shapes[entry.name].features) for entry in spec.inputs)
    made = sum(prod(shapes[layer.name].features) for layer in spec.layers)
    gates = sum(len(layer.gates) * layer.units for layer in spec.recurrent_layers)
    return _NUMBER_BYTES * shape.rows * shape.steps * (_INPUT_COPIES * inputs + 2 * made + gates) + _ROW_BYTES * shape.rows


def measure(
    spec: ModelSpec,
    weights: Weights,
    shapes: Sequence[Shape],
    labels: Sequence[str],
    seconds_per_cell: float,
    progress: Callable[[str], None],
) -> Benchmark:
    """`labels`: which the network offers. `progress` is called with what begins: the oracle, then each cell.

    Memory is measured on a network that has computed nothing of that size, since ONNX Runtime keeps what it once took, and after
    the timing, when kernels are chosen. Raises InvalidSpec, InvalidWeights, Unsupported.
    """
    with _one_thread():
        network = Network(spec, weights)
        progress("oracle")
        differences, oracle_steps = _differences(network, weights, labels, max(shape.steps for shape in shapes))
        measurements: list[Measurement] = []
        for shape in shapes:
            progress(str(shape))
            taken = contest(_calls(network, shape, labels), seconds_per_cell, time.perf_counter, time.thread_time)
            resident_memory.give_back()
            fresh = Network(spec, weights)
            for label in labels:
                fresh.warm_up(label)
            for label, call in _calls(fresh, shape, labels).items():
                wall, own = zip(*taken[label])
                peak = resident_memory.peak_bytes(call)
                measurements.append(Measurement(label, shape, len(own), median(own), median(wall), peak))
    refused = {label: reason for label, reason in network.implementations.items() if reason is not None}
    return Benchmark(tuple(measurements), differences, oracle_steps, refused)


def contest(
    calls: Mapping[str, Callable[[], None]], seconds: float, wall_clock: Clock, own_clock: Clock
) -> dict[str, list[tuple[float, float]]]:
    """(wall seconds, own seconds) of each call, by contender, for `seconds` on the wall.

    In turns, so that a slow moment strikes all alike; a first, uncounted one warms up.
    """
    taken: dict[str, list[tuple[float, float]]] = {label: [] for label in calls}
    for call in calls.values():
        call()
    until, turns = wall_clock() + seconds, 0
    while turns < FEWEST_CALLS or wall_clock() < until:
        for label, call in calls.items():
            wall, own = wall_clock(), own_clock()
            call()
            own, wall = own_clock() - own, wall_clock() - wall
            taken[label].append((wall, own))
        turns += 1
    return taken


def recommend(benchmark: Benchmark) -> tuple[Recommendation, ...]:
    """One for each kind of traffic that the grid has cells of."""
    found = []
    for traffic in TRAFFIC_KINDS:
        shapes = [shape for shape in benchmark.shapes if shape.traffic == traffic]
        if shapes:
            cells = [benchmark.cell(shape) for shape in shapes]
            times = {label: _times(cells, label) for label in benchmark.implementations}
            largest = max(cells, key=lambda cell: cell[0].shape.rows * cell[0].shape.steps)
            found.append(Recommendation(traffic, min(times, key=times.__getitem__), times, _least_memory(largest)))
    return tuple(found)


def _times(cells: Sequence[Sequence[Measurement]], label: str) -> float:
    ratios = [
        one.median_seconds / min(other.median_seconds for other in cell)
        for cell in cells
        for one in cell
        if one.implementation == label
    ]
    return exp(fsum(map(log, ratios)) / len(ratios))


def _least_memory(cell: Sequence[Measurement]) -> str | None:
    peaks = {one.implementation: one.peak_bytes for one in cell if one.peak_bytes is not None}
    return min(peaks, key=peaks.__getitem__) if max(peaks.values(), default=0) >= _NOTICEABLE_BYTES else None


def _calls(network: Network, shape: Shape, labels: Sequence[str]) -> dict[str, Callable[[], None]]:
    probe = BenchmarkCall(network, [shape.steps] * shape.rows)
    for label in labels:
        probe.lay_out(label)
    return {label: partial(probe, label) for label in labels}


def _differences(network: Network, weights: Weights, labels: Sequence[str], steps: int) -> tuple[dict[str, float], int]:
    """On rows of different lengths, the longest as long as asked for where the oracle, which is slow, can afford it."""
    arrays, feds = golden_inputs(network.spec)
    longest = max(steps_of(fed, 0) for fed in feds)
    if required_time_steps(network.spec) is None:
        numbers = sum(prod(shape) for shape in expected_weights(network.spec).values())
        fewest = minimum_time_steps(network.spec)
        longest = max(fewest, min(steps, _ORACLE_STEPS, _ORACLE_PRODUCTS // (2 * max(numbers, 1))))
        feds = tuple(fitting(network.spec, length) for length in (longest, max(fewest, longest // 2), fewest))
    tiled = [np.arange(max(steps_of(fed, index) for fed in feds)) for index in range(len(arrays))]
    inputs = tuple(
        array if entry.kind == "vector" else np.ascontiguousarray(array[:, steps % array.shape[1]])
        for entry, array, steps in zip(network.spec.inputs, arrays, tiled)
    )
    golden = GoldenPair(inputs, feds, *reference.run(network.spec, weights.arrays, inputs, feds))
    return {label: verify(network, golden, inf, label) for label in labels}, longest


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
