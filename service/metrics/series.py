"""The series of each version and implementation and of each rpc method, and what counts in them as what.

Facts come many at once, so that each series is looked up and locked once for all of them.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import Counter, Gauge
from prometheus_client.samples import Exemplar

from cellserve.service.api.facts import RequestFact, RpcMethod
from cellserve.service.engine.facts import IterationFact, SequenceFact
from cellserve.service.metrics.facts import RpcEnd
from cellserve.service.metrics.histograms import Histogram


class RunFamilies(NamedTuple):
    """What is told of each version and implementation."""

    request_seconds: Histogram
    queue_seconds: Histogram
    compute_seconds: Histogram
    iteration_seconds: Histogram
    iteration_rows: Histogram
    iteration_steps: Histogram
    iteration_padding: Histogram
    prediction: Histogram
    timesteps: Counter
    goodput: Counter
    cancelled: Counter
    requests: Counter
    sequences: Counter


class RunSeries:
    """The series of one version and implementation, each made when it first counts, but for what `offer` makes at zero."""

    def __init__(self, families: RunFamilies, labels: tuple[str, str, str]) -> None:
        self._request_seconds = families.request_seconds.labels(*labels)
        self._queue_seconds = families.queue_seconds.labels(*labels)
        self._compute_seconds = families.compute_seconds.labels(*labels)
        self._iteration_seconds = families.iteration_seconds.labels(*labels)
        self._iteration_rows = families.iteration_rows.labels(*labels)
        self._iteration_steps = families.iteration_steps.labels(*labels)
        self._iteration_padding = families.iteration_padding.labels(*labels)
        self._prediction = families.prediction.labels(*labels)
        self._timesteps = families.timesteps
        self._goodput = families.goodput
        self._cancelled = families.cancelled
        self._requests = families.requests
        self._sequences = families.sequences
        self._labels = labels

    def offer(self) -> None:
        """Makes that at zero which well-served requests will be counted in."""
        self._requests.labels(*self._labels, "OK")

    def add_iterations(self, facts: Sequence[IterationFact]) -> None:
        self._iteration_seconds.add([fact.seconds for fact in facts])
        self._iteration_rows.add([fact.rows for fact in facts])
        self._iteration_steps.add([fact.steps for fact in facts])
        self._iteration_padding.add([fact.padding_ratio for fact in facts])
        self._timesteps.labels(*self._labels).inc(sum([fact.timesteps for fact in facts]))

    def add_sequences(self, facts: Sequence[SequenceFact]) -> None:
        for reason, number in Tally([fact.reason for fact in facts]).items():
            self._sequences.labels(*self._labels, reason).inc(number)
        self._goodput.labels(*self._labels).inc(sum([fact.steps for fact in facts if fact.reason == "done"]))
        self._prediction.add([ratio for fact in facts if (ratio := fact.prediction_ratio) is not None])

    def add_requests(self, facts: Sequence[RequestFact]) -> None:
        codes = Tally([fact.code for fact in facts])
        for code, number in codes.items():
            self._requests.labels(*self._labels, code).inc(number)
        if "CANCELLED" in codes:
            self._cancelled.labels(*self._labels).inc(codes["CANCELLED"])
        self._request_seconds.add([fact.seconds for fact in facts if fact.answered])
        for fact in facts:
            if fact.trace is not None and fact.answered:
                self._request_seconds.exemplify(Exemplar(fact.trace._asdict(), fact.seconds, fact.ended_unix_seconds))
        self._queue_seconds.add([seconds for fact in facts if (seconds := fact.queue_seconds) is not None])
        self._compute_seconds.add([seconds for fact in facts if (seconds := fact.compute_seconds) is not None])


class RpcFamilies(NamedTuple):
    """What is told of each method, whatever it does."""

    started: Counter
    handled: Counter
    seconds: Histogram
    open_calls: Gauge

    def add_started(self, method: RpcMethod, number: int) -> None:
        self.started.labels(*method).inc(number)
        self.open_calls.labels(*method).inc(number)

    def add_ends(self, method: RpcMethod, ends: Sequence[RpcEnd]) -> None:
        for code, number in Tally([end.code for end in ends]).items():
            self.handled.labels(*method, grpc_code(code)).inc(number)
        self.open_calls.labels(*method).dec(len(ends))
        self.seconds.labels(*method).add([end.seconds for end in ends])


class ShadowFamilies(NamedTuple):
    """What is told of requests that run on another version besides."""

    requests: Counter
    difference: Histogram
    seconds: Histogram


class StoreFamilies(NamedTuple):
    """What is told of the store that replicas share."""

    seconds: Histogram
    records: Histogram
    available: Gauge
    degraded: Counter
    sequences: Gauge


def grpc_code(name: str) -> str:
    """A gRPC status as go-grpc-prometheus names it: INVALID_ARGUMENT is InvalidArgument, OK stays OK."""
    return name if name == "OK" else "".join(word.capitalize() for word in name.split("_"))
