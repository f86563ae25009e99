"""`predict --repeat` and `--compare`: the same request again and again, timed, under one or every implementation.

Latencies are those of this client: the request's way there and back included. Knows no files and no options.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cellserve.service.cli.output import print_table
from cellserve.service.client import Prediction

Ask = Callable[[str], Prediction]  # once, under an implementation; "" for the server's choice

HEADINGS: Final = ("#min ms", "#median ms", "#p99 ms")


@dataclass(frozen=True, slots=True)
class Latency:
    """Of `requests` requests, in seconds. The first, uncounted one has warmed the connection and the model."""

    requests: int
    min_seconds: float
    median_seconds: float
    p99_seconds: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """seconds: at least one."""
        return cls(len(seconds), min(seconds), float(np.median(seconds)), float(np.percentile(seconds, 99)))

    def as_data(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "min_seconds": self.min_seconds,
            "median_seconds": self.median_seconds,
            "p99_seconds": self.p99_seconds,
        }

    def print(self) -> None:
        print_table(f"Latency of {self.requests} requests", HEADINGS, [self.cells()])

    def cells(self) -> tuple[str, str, str]:
        return (_ms(self.min_seconds), _ms(self.median_seconds), _ms(self.p99_seconds))


def timed(ask: Ask, implementations: tuple[str, ...], repeat: int) -> dict[str, tuple[Prediction, Latency]]:
    """The last answer and the latencies, by implementation. They take turns, so that a busy moment strikes all alike."""
    predictions = {label: ask(label) for label in implementations}
    seconds: dict[str, list[float]] = {label: [] for label in implementations}
    for _ in range(repeat):
        for label in implementations:
            start = time.perf_counter()
            predictions[label] = ask(label)
            seconds[label].append(time.perf_counter() - start)
    return {label: (predictions[label], Latency.of(seconds[label])) for label in implementations}


@dataclass(frozen=True, slots=True)
class Comparison:
    """model: with its version. largest_difference: |a − b| of any number of any output, between any two that compute in float32.

    obstacles: why the others cannot run this model. rounding: those of `measured` that compute in less.
    """

    model: str
    measured: dict[str, tuple[Prediction, Latency]]
    default: str | None
    obstacles: dict[str, str]
    rounding: frozenset[str] = frozenset()

    @property
    def largest_difference(self) -> float:
        return float(np.max(np.ptp(np.stack(self._in_float32()), axis=0)))

    def difference(self, label: str) -> float:
        """Largest |a − b| between `label` and any other that computes in float32."""
        mine = _numbers(self.measured[label][0])
        return max(float(np.max(np.abs(mine - other))) for other in self._in_float32())

    def _in_float32(self) -> list[NDArray[np.float64]]:
        return [_numbers(prediction) for label, (prediction, _) in self.measured.items() if label not in self.rounding]

    def as_data(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "default_implementation": self.default,
            "largest_difference": self.largest_difference,
            "implementations": {
                label: latency.as_data()
                | {"compute_seconds": prediction.compute_seconds, "largest_difference": self.difference(label)}
                for label, (prediction, latency) in self.measured.items()
            },
            "obstacles": self.obstacles,
        }

    def print(self) -> None:
        rows = [
            (
                f"{label} (default)" if label == self.default else label,
                *latency.cells(),
                _ms(prediction.compute_seconds),
                f"{self.difference(label):.1e}",
            )
            for label, (prediction, latency) in self.measured.items()
        ]
        requests = next(iter(self.measured.values()))[1].requests
        differ = f"answers differ by at most {self.largest_difference:.1e}"
        print_table(
            f"{self.model}, {requests} requests under each implementation; {differ}",
            ("implementation", *HEADINGS, "#computed in ms", "#largest difference"),
            rows,
        )
        if self.obstacles:
            print_table("Not offered", ("implementation", "why"), list(self.obstacles.items()))


def _numbers(prediction: Prediction) -> NDArray[np.float64]:
    """Every number of the answer, in one row."""
    parts = [row.reshape(-1) for rows in prediction.outputs.values() for row in rows]
    return np.concatenate(parts).astype(np.float64)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
