"""The series of one version and implementation, and of one rpc method, at hand: looking them up by their labels each time would
cost more than counting does. Knows no facts: service/metrics.py says what counts as what.
"""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import Counter

from cellserve.service.api.facts import RpcMethod
from cellserve.service.histograms import Histogram


class RunFamilies(NamedTuple):
    """What is told of each version and implementation."""

    request_seconds: Histogram
    queue_seconds: Histogram
    compute_seconds: Histogram
    iteration_seconds: Histogram
    iteration_rows: Histogram
    iteration_steps: Histogram
    iteration_padding: Histogram
    timesteps: Counter
    cancelled: Counter
    requests: Counter
    sequences: Counter


class RunSeries:
    """The series of one version and implementation, made at zero when first asked for."""

    def __init__(self, families: RunFamilies, labels: tuple[str, str, str]) -> None:
        self._families = families
        self._labels = labels
        self._requests: dict[str, Counter] = {}
        self._sequences: dict[str, Counter] = {}
        self.request_seconds = families.request_seconds.labels(*labels)
        self.queue_seconds = families.queue_seconds.labels(*labels)
        self.compute_seconds = families.compute_seconds.labels(*labels)
        self.iteration_seconds = families.iteration_seconds.labels(*labels)
        self.iteration_rows = families.iteration_rows.labels(*labels)
        self.iteration_steps = families.iteration_steps.labels(*labels)
        self.iteration_padding = families.iteration_padding.labels(*labels)
        self.timesteps = families.timesteps.labels(*labels)
        self.cancelled = families.cancelled.labels(*labels)

    def requests(self, code: str) -> Counter:
        counter = self._requests.get(code)
        if counter is None:
            counter = self._requests[code] = self._families.requests.labels(*self._labels, code)
        return counter

    def sequences(self, reason: str) -> Counter:
        counter = self._sequences.get(reason)
        if counter is None:
            counter = self._sequences[reason] = self._families.sequences.labels(*self._labels, reason)
        return counter


class RpcSeries:
    """The series of one method."""

    def __init__(self, started: Counter, handled: Counter, seconds: Histogram, method: RpcMethod) -> None:
        self._handled_by_code = handled
        self._method = method
        self._handled: dict[str, Counter] = {}
        self.started = started.labels(*method)
        self.seconds = seconds.labels(*method)

    def handled(self, code: str) -> Counter:
        counter = self._handled.get(code)
        if counter is None:
            counter = self._handled[code] = self._handled_by_code.labels(*self._method, grpc_code(code))
        return counter


def grpc_code(name: str) -> str:
    """A gRPC status as go-grpc-prometheus names it: INVALID_ARGUMENT is InvalidArgument, OK stays OK."""
    return name if name == "OK" else "".join(word.capitalize() for word in name.split("_"))
