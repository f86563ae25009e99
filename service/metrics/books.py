"""What counts as what: facts become Prometheus samples and statistics, many at once.

Series of a version exist from the moment it is loaded (so that rate() sees the first request) until it is unloaded; facts that
are booked later are dropped, since they would bring its series back. Knows no gRPC, no page and no threads.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from cellserve.models.measuring.traffic import TrafficKind
from cellserve.service.api.facts import CONNECTION_ENDS, ConnectionFact, RequestFact, RpcMethod, TurnedAway
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.metrics.facts import Fact, LoopFact, RpcEnd, SessionChange, SessionStep
from cellserve.service.metrics.group_by import group_by
from cellserve.service.metrics.histograms import Histogram
from cellserve.service.metrics.series import RpcFamilies, RunFamilies, RunSeries
from cellserve.service.metrics.statistics import Statistics

SECONDS: Final = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOAD_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
STEPS: Final = tuple(float(2**power) for power in range(13))
ROWS: Final = tuple(float(2**power) for power in range(10))
PREDICTED: Final = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
RATIO: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

_RUN: Final = ("model", "version", "implementation")
_VERSION: Final = ("model", "version")
_RPC: Final = ("grpc_type", "grpc_service", "grpc_method")

# Errors that turn a request away before anything is computed for it.
_REFUSALS: Final = frozenset(
    (
        "INVALID_INPUT",
        "MODEL_UNKNOWN",
        "VERSION_UNKNOWN",
        "VERSION_UNAVAILABLE",
        "VERSION_FAILED",
        "IMPLEMENTATION_UNKNOWN",
        "IMPLEMENTATION_UNSUPPORTED",
        "NOT_CAUSAL",
        "SEQUENCE_UNKNOWN",
        "SEQUENCE_EXPIRED",
        "SEQUENCE_EVICTED",
        "SEQUENCE_LOST",
        "SEQUENCE_EXISTS",
        "SEQUENCE_POSITION",
        "SEQUENCE_WEIGHTS",
        "SEQUENCE_VERSION_RETIRED",
        "NOT_OFFERED",
        "OVERLOADED",
        "DRAINING",
        "TOKEN_MISSING",
        "TOKEN_INVALID",
    )
)


class Books:
    """For one thread at a time. Makes its families in `registry`."""

    def __init__(self, registry: CollectorRegistry, statistics: Statistics, server_version: str, front: str) -> None:
        self._statistics = statistics
        self._unloaded: set[VersionKey] = set()
        self._runs: dict[tuple[VersionKey | None, str], RunSeries] = {}
        self._bookings: dict[type[Fact], Callable[[list[Any]], None]] = {
            IterationFact: self._book_iterations,
            SequenceFact: self._book_sequences,
            RequestFact: self._book_requests,
            RpcMethod: self._book_rpc_starts,
            RpcEnd: self._book_rpc_ends,
            ConnectionFact: self._book_connections,
            LoopFact: self._book_loop,
            TurnedAway: self._book_turned_away,
            SessionChange: self._book_session_changes,
            SessionStep: self._book_session_steps,
        }

        def histogram(name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = _RUN) -> Histogram:
            return Histogram(f"cellserve_{name}", text, labels, buckets, registry)

        def counter(name: str, text: str, labels: Sequence[str] = _RUN) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._by_run = RunFamilies(
            histogram("request_duration_seconds", "Answered requests, from the door to the reply.", SECONDS),
            histogram("queue_duration_seconds", "Answered requests: the wait for their first iteration.", SECONDS),
            histogram("compute_duration_seconds", "Answered requests: their share of their iterations.", SECONDS),
            histogram("iteration_duration_seconds", "One batch advanced by one chunk.", SECONDS),
            histogram("iteration_rows", "Sequences side by side in an iteration.", ROWS),
            histogram("iteration_steps", "Time steps of an iteration.", STEPS),
            histogram("iteration_padding_ratio", "The padded share of rows times steps.", RATIO),
            histogram(
                "prediction_ratio",
                "What sequences took, as a part of what was predicted: above 1 the prediction was not kept.",
                PREDICTED,
            ),
            counter("cellserve_timesteps", "Time steps computed, without padding."),
            counter("cellserve_goodput_timesteps", "Time steps of the sequences that were answered, within their deadlines."),
            counter("cellserve_cancelled", "Inference requests that the client gave up."),
            counter("cellserve_requests", "Inference requests by gRPC status.", (*_RUN, "code")),
            counter("cellserve_sequence_ended", "Sequences (rows of requests) by their end.", (*_RUN, "reason")),
        )
        self._load_seconds = histogram("model_load_duration_seconds", "Reading, verifying, warming.", LOAD_SECONDS, _VERSION)
        self._choice = Gauge(
            "cellserve_implementation_choice_info",
            "1: the implementation that requests of this kind of traffic get unless they name one.",
            (*_VERSION, "kind", "implementation"),
            registry=registry,
        )
        self._session_steps = histogram(
            "session_step_duration_seconds", "Feeds of live sequences, from the door to the reply.", SECONDS, _VERSION
        )
        self._session_events = counter("cellserve_session_events", "What became of live sequences.", (*_VERSION, "event"))
        self._rejected = counter("cellserve_rejected", "Inference requests turned away at the door.", ("reason",))
        self._overload = counter("cellserve_overload_refused", "Requests refused for overload, by what was short.", ("cause",))
        self._connections = Gauge("cellserve_connections", "Connections open at the front on frames.", registry=registry)
        self._connection_ends = counter("cellserve_connections_ended", "Connections ended, by who or what did.", ("cause",))
        for end in CONNECTION_ENDS:
            self._connection_ends.labels(end)
        self._loop_lag = histogram(
            "event_loop_lag_seconds", "How late the event loop comes to what is due.", SECONDS, ()
        ).labels()
        self._by_method = RpcFamilies(
            counter("grpc_server_started", "RPCs started.", _RPC),
            counter("grpc_server_handled", "RPCs ended, by gRPC status.", (*_RPC, "grpc_code")),
            Histogram("grpc_server_handling_seconds", "RPCs handled.", _RPC, SECONDS, registry),
        )
        built = Gauge("cellserve_build_info", "The server's version, and its front.", ("version", "front"), registry=registry)
        built.labels(server_version, front).set(1)

    def book(self, facts: list[Fact]) -> None:
        for kind, alike in group_by(facts, type).items():
            self._bookings[kind](alike)

    def open(self, key: VersionKey) -> None:
        """Facts about this version count, as they do for any that was never closed."""
        self._unloaded.discard(key)

    def close(self, key: VersionKey) -> None:
        """Removes all about this version; facts about it are dropped until it is opened."""
        self._unloaded.add(key)
        self._runs = {run: series for run, series in self._runs.items() if run[0] != key}
        self._statistics.forget(key)
        for metric in (*self._by_run, self._load_seconds, self._choice, self._session_steps, self._session_events):
            metric.remove_by_labels({"model": key.model, "version": str(key.version)})

    def offer(self, key: VersionKey, implementations: Iterable[str]) -> None:
        """Makes the series of a version, at zero, for each implementation that it can run under."""
        if key not in self._unloaded:
            for implementation in implementations:
                self._run(key, implementation).offer()

    def loaded(self, key: VersionKey, seconds: float) -> None:
        self._load_seconds.labels(*_version_labels(key)).add([seconds])

    def choose(self, key: VersionKey, by_kind: Mapping[TrafficKind, str]) -> None:
        """What requests to it get from now on, by the kind of traffic."""
        if key in self._unloaded:
            return
        self._choice.remove_by_labels({"model": key.model, "version": str(key.version)})
        for kind, implementation in by_kind.items():
            self._choice.labels(*_version_labels(key), kind, implementation).set(1)

    def _book_iterations(self, facts: list[IterationFact]) -> None:
        for (version, implementation), of_run in self._by_live_run(facts):
            self._run(version, implementation).add_iterations(of_run)
            self._statistics.add_iterations(version, of_run)

    def _book_sequences(self, facts: list[SequenceFact]) -> None:
        for (version, implementation), of_run in self._by_live_run(facts):
            self._run(version, implementation).add_sequences(of_run)
            self._statistics.add_sequences(version, of_run)

    def _book_requests(self, facts: list[RequestFact]) -> None:
        for reason, number in Tally([fact.reason for fact in facts if fact.reason in _REFUSALS]).items():
            self._rejected.labels(reason).inc(number)
        for cause, number in Tally([fact.cause for fact in facts if fact.cause is not None]).items():
            self._overload.labels(cause).inc(number)
        for (version, implementation), of_run in self._by_live_run(facts):
            self._run(version, implementation).add_requests(of_run)
            if version is not None:
                self._statistics.add_requests(version, of_run)

    def _book_rpc_starts(self, methods: list[RpcMethod]) -> None:
        for method, number in Tally(methods).items():
            self._by_method.add_started(method, number)

    def _book_rpc_ends(self, ends: list[RpcEnd]) -> None:
        for method, of_method in group_by(ends, attrgetter("method")).items():
            self._by_method.add_ends(method, of_method)

    def _book_turned_away(self, facts: list[TurnedAway]) -> None:
        for method, code, reason, cause, seconds, number in facts:
            self._by_method.add_started(method, number)
            self._by_method.add_ends(method, [RpcEnd(method, code, seconds)] * number)
            self._book_requests([RequestFact(None, "", code, reason, seconds, cause=cause)] * number)

    def _book_connections(self, facts: list[ConnectionFact]) -> None:
        self._connections.set(facts[-1].open_connections)
        for end, number in Tally([fact.end for fact in facts if fact.end is not None]).items():
            self._connection_ends.labels(end).inc(number)

    def _book_loop(self, facts: list[LoopFact]) -> None:
        self._loop_lag.add([fact.lag_seconds for fact in facts])

    def _book_session_changes(self, changes: list[SessionChange]) -> None:
        for (version, event), number in Tally(changes).items():
            if version not in self._unloaded:
                self._session_events.labels(*_version_labels(version), event).inc(number)

    def _book_session_steps(self, steps: list[SessionStep]) -> None:
        for version, of_version in group_by(steps, attrgetter("version")).items():
            if version not in self._unloaded:
                self._session_steps.labels(*_version_labels(version)).add([step.seconds for step in of_version])

    def _by_live_run(self, facts: list[Any]) -> list[tuple[tuple[Any, str], list[Any]]]:
        groups = group_by(facts, attrgetter("version", "implementation"))
        return [(run, of_run) for run, of_run in groups.items() if run[0] not in self._unloaded]

    def _run(self, version: VersionKey | None, implementation: str) -> RunSeries:
        run = self._runs.get((version, implementation))
        if run is None:
            labels = (*_version_labels(version), implementation)
            run = self._runs[version, implementation] = RunSeries(self._by_run, labels)
        return run


def _version_labels(version: VersionKey | None) -> tuple[str, str]:
    return ("", "") if version is None else (version.model, str(version.version))
