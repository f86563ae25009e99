"""Measures which implementation of a network is the fastest here, for each kind of traffic.

On a processor the seconds are those of the calling thread, so that other processes do not falsify them; it must compute on one
thread. Many rows are tried in several numbers, even and ragged: whoever batches can choose how many, but not where they end.
Knows no service, no cache, no threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from cellserve.models.description.shapes import minimum_time_steps, required_time_steps
from cellserve.models.measuring.benchmark_call import BenchmarkCall
from cellserve.models.measuring.traffic import MOST_SINGLE_STEPS, TRAFFIC_KINDS, TrafficKind
from cellserve.models.network import Network

BUDGET_SECONDS: Final = 0.2
RECORDING_BUDGET_SECONDS: Final = 5.0  # where chunks are recorded: it takes that long before calls show what they will cost

_BUDGETED: Final[Mapping[TrafficKind, float]] = {"steps_few": 0.1, "steps_many": 0.2, "bulk_few": 0.4, "bulk_many": 1.0}
_ROWS: Final[Mapping[TrafficKind, tuple[int, ...]]] = {
    "steps_few": (1,),
    "steps_many": (32,),
    "bulk_few": (1,),
    "bulk_many": (8, 32),
}
_CALL_SECONDS = 0.001  # what a bulk call should about take
_FEWEST_STEPS, _MOST_STEPS = 4, 256  # of a bulk call
_RUNS = 6
_HOPELESS = 3.0  # times the fastest: not tried again
_LOOPS = ("0", "1", "2")  # pay for each step in Python: hopeless with few rows, hopeless with many
# Times the fastest: what one implementation for everything may cost. Around a call of a single step there is much else to do.
_AS_GOOD: Final[Mapping[TrafficKind, float]] = {"steps_few": 1.25, "steps_many": 1.25, "bulk_few": 1.05, "bulk_many": 1.05}

_NEVER = float("inf")

Clock = Callable[[], float]
Seconds = Mapping[str, float]  # by label, per row and time step


@dataclass(frozen=True, slots=True)
class Calibration:
    """`choices`: a label for each kind of traffic. `seconds`: per row and time step, by kind and label, as far as measured."""

    choices: Mapping[TrafficKind, str]
    seconds: Mapping[TrafficKind, Seconds]


def calibrate(
    network: Network,
    budget_seconds: float | None = None,
    clock: Clock | None = None,
    candidates: Sequence[str] | None = None,
) -> Calibration:
    """Takes about `budget_seconds`, and more only where single calls are that slow. Offered implementations must be warm.

    budget_seconds: None for one that suits the device. clock: seconds, for the budget and for the measurements. candidates: of
    the offered; None for all of them. What cannot be measured goes by the first of them.
    """
    if budget_seconds is None:
        budget_seconds = RECORDING_BUDGET_SECONDS if network.settling_calls else BUDGET_SECONDS
    if clock is None:
        clock = time.thread_time if network.device.type == "cpu" else time.perf_counter
    default = network.default_implementation if candidates is None else candidates[0]
    candidates = network.offered if candidates is None else candidates
    measured: dict[TrafficKind, Seconds] = {}
    start = clock()
    for kind, share in _BUDGETED.items() if len(candidates) > 1 else ():
        if (steps := _steps_of(network, kind)) != 0:
            measured[kind] = _measure(network, kind, steps, candidates, start + share * budget_seconds, clock)
            if kind == "bulk_few":
                promising = _promising(measured[kind])
                candidates = [label for label in candidates if label not in _LOOPS or label in promising]
    return Calibration(choose(measured, default), measured)


def choose(measured: Mapping[TrafficKind, Seconds], default: str) -> dict[TrafficKind, str]:
    """The fastest for each kind; but one for all if it is everywhere nearly as fast: it keeps all sequences in common batches."""
    fastest = {kind: min(seconds, key=seconds.__getitem__) for kind, seconds in measured.items()}
    for label in dict.fromkeys(fastest.values()):
        if all(seconds.get(label, _NEVER) <= _AS_GOOD[kind] * min(seconds.values()) for kind, seconds in measured.items()):
            return dict.fromkeys(TRAFFIC_KINDS, label)
    return {kind: fastest.get(kind, default) for kind in TRAFFIC_KINDS}


def _measure(
    network: Network, kind: TrafficKind, steps: int | None, candidates: Sequence[str], until_seconds: float, clock: Clock
) -> Seconds:
    """At the number of rows that suits each candidate best. `steps`: None for as many as make a call of the usual length."""
    best: dict[str, float] = {}
    for left, rows in zip(range(len(_ROWS[kind]), 0, -1), _ROWS[kind]):
        used = _bulk_steps(network, rows, candidates[0], clock) if steps is None else steps
        probes = [BenchmarkCall(network, [used] * rows)]
        if rows > 1 and steps is None:
            fewest = minimum_time_steps(network.spec)
            probes.append(BenchmarkCall(network, [max(fewest, used - row * used // (2 * rows)) for row in range(rows)]))
        now = clock()
        seconds = _contest(probes, candidates, now + (until_seconds - now) / left, clock)
        best |= {label: min(value, best.get(label, value)) for label, value in seconds.items()}
        candidates = _promising(seconds)
    return best


def _contest(probes: Sequence[BenchmarkCall], candidates: Sequence[str], until_seconds: float, clock: Clock) -> Seconds:
    """In turns, so that a slow moment hits all; the lowest counts. The first candidate runs even if the time is up."""
    lowest: dict[str, list[float]] = {}
    for label in candidates:
        for probe in probes:
            if clock() < until_seconds:
                probe.settle(label)
    for run in range(_RUNS):
        for label in candidates:
            if lowest and clock() >= until_seconds:
                return {known: fmean(values) for known, values in lowest.items()}
            seconds = [_timed(probe, label, clock) for probe in probes]
            lowest[label] = [min(pair) for pair in zip(seconds, lowest.get(label, seconds))]
        if run > 0:
            candidates = _promising({label: fmean(lowest[label]) for label in candidates})
    return {label: fmean(values) for label, values in lowest.items()}


def _timed(probe: BenchmarkCall, label: str, clock: Clock) -> float:
    started = clock()
    probe(label)
    return (clock() - started) / probe.timesteps


def _promising(seconds: Seconds) -> list[str]:
    allowed = _HOPELESS * min(seconds.values())
    return [label for label, value in seconds.items() if value <= allowed]


def _bulk_steps(network: Network, rows: int, label: str, clock: Clock) -> int:
    fewest = minimum_time_steps(network.spec)
    steps = max(_FEWEST_STEPS, fewest)
    probe = BenchmarkCall(network, [steps] * rows)
    probe(label)
    started = clock()
    probe(label)
    wanted = steps * _CALL_SECONDS / max(clock() - started, 1e-9)
    return max(fewest, min(max(_FEWEST_STEPS, int(wanted)), _MOST_STEPS))


def _steps_of(network: Network, kind: TrafficKind) -> int | None:
    """Time steps of the kind's calls; None for as many as make a call of the usual length, 0 if no such sequence can come."""
    required, fewest = required_time_steps(network.spec), minimum_time_steps(network.spec)
    if kind.startswith("steps"):
        steps = fewest if required is None else required
        return steps if steps <= MOST_SINGLE_STEPS else 0
    return required if required is None or required > MOST_SINGLE_STEPS else 0
