"""Prometheus series of everything the engine, the door and the catalog tell, and the HTTP page that shows them.

One registry of its own, no globals. Series of a version exist from the moment it is loaded (so that rate() sees the first
request) until it is unloaded. Facts come from the engine's threads and from the event loop. Knows no gRPC and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cellserve.models.traffic import TrafficKind
from cellserve.service.api.facts import RequestFact, RpcMethod
from cellserve.service.engine.facts import IterationFact, LaneFact, SequenceFact, VersionKey
from cellserve.service.histograms import Distribution, Histogram
from cellserve.service.metric_series import RpcSeries, RunFamilies, RunSeries
from cellserve.service.metrics_page import MetricsPage
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.info import STATES
from cellserve.service.sessions.observer import SessionCount, SessionEvent
from cellserve.service.statistics import Statistics

SECONDS: Final = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOAD_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
STEPS: Final = tuple(float(2**power) for power in range(13))
ROWS: Final = tuple(float(2**power) for power in range(10))
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


class Metrics:
    """Implements the observers of the engine, the door and the catalog. Safe on any thread; blocks nobody for long."""

    def __init__(self, server_version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.statistics = Statistics()  # the same facts as totals
        self._lock = Lock()  # guards the two below
        self._unloaded: set[VersionKey] = set()
        self._runs: dict[tuple[VersionKey | None, str], RunSeries] = {}
        self._sessions: dict[VersionKey, Distribution] = {}  # steps; of the event loop alone
        self._rpcs: dict[RpcMethod, RpcSeries] = {}  # of the event loop alone

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
            counter("cellserve_timesteps", "Time steps computed, without padding."),
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
        self._rpc_started = counter("grpc_server_started", "RPCs started.", _RPC)
        self._rpc_handled = counter("grpc_server_handled", "RPCs ended, by gRPC status.", (*_RPC, "grpc_code"))
        self._rpc_seconds = Histogram("grpc_server_handling_seconds", "RPCs handled.", _RPC, SECONDS, registry)
        Gauge("cellserve_build_info", "The server's version.", ("version",), registry=registry).labels(server_version).set(1)

    def watch(
        self,
        lanes: Callable[[], Iterable[LaneFact]],
        versions: Callable[[], Iterable[VersionStatus]],
        sessions: Callable[[], Iterable[SessionCount]] = tuple,
    ) -> None:
        """Ask these for the present at each scrape. They are called on the page's threads."""
        self.registry.register(_Present(lanes, versions, sessions))

    def open_page(self, host: str, port: int) -> MetricsPage:
        """Serves /metrics. Raises OSError: the address cannot be used."""
        return MetricsPage(self.registry, host, port)

    # --- the engine's observer ---

    def on_iteration(self, fact: IterationFact) -> None:
        run = self._run(fact.version, fact.implementation)
        if run is not None:
            self.statistics.on_iteration(fact)
            run.iteration_seconds.observe(fact.seconds)
            run.iteration_rows.observe(fact.rows)
            run.iteration_steps.observe(fact.steps)
            run.iteration_padding.observe(fact.padding_ratio)
            run.timesteps.inc(fact.timesteps)

    def on_sequence_end(self, fact: SequenceFact) -> None:
        run = self._run(fact.version, fact.implementation)
        if run is not None:
            self.statistics.on_sequence_end(fact)
            run.sequences(fact.reason).inc()

    # --- the door's observer ---

    def on_rpc_started(self, method: RpcMethod) -> None:
        self._rpc(method).started.inc()

    def on_rpc_handled(self, method: RpcMethod, code: str, seconds: float) -> None:
        rpc = self._rpc(method)
        rpc.handled(code).inc()
        rpc.seconds.observe(seconds)

    def on_request(self, fact: RequestFact) -> None:
        if fact.reason in _REFUSALS:
            self._rejected.labels(fact.reason).inc()
        run = self._run(fact.version, fact.implementation)
        if run is None:
            return
        self.statistics.on_request(fact)
        run.requests(fact.code).inc()
        if fact.code == "CANCELLED":
            run.cancelled.inc()
        if fact.queue_seconds is not None and fact.compute_seconds is not None:
            run.request_seconds.observe(fact.seconds)
            run.queue_seconds.observe(fact.queue_seconds)
            run.compute_seconds.observe(fact.compute_seconds)

    # --- the live sequences' observer ---

    def on_session_event(self, version: VersionKey | None, event: SessionEvent) -> None:
        with self._lock:
            if version not in self._unloaded:
                self._session_events.labels(*_version_labels(version), event).inc()

    def on_session_step(self, version: VersionKey, seconds: float) -> None:
        series = self._sessions.get(version)
        if series is None:
            with self._lock:
                if version in self._unloaded:
                    return
                series = self._sessions[version] = self._session_steps.labels(*_version_labels(version))
        series.observe(seconds)

    # --- the catalog's observer ---

    def on_loaded(self, key: VersionKey, seconds: float) -> None:
        self._load_seconds.labels(key.model, str(key.version)).observe(seconds)

    def on_state(self, key: VersionKey, state: VersionState) -> None:
        with self._lock:
            if state is not VersionState.UNLOADED:
                self._unloaded.discard(key)
                return
            self._unloaded.add(key)
            self._runs = {run: series for run, series in self._runs.items() if run[0] != key}
            self._sessions.pop(key, None)
        self.statistics.forget(key)
        for metric in (*self._by_run, self._load_seconds, self._choice, self._session_steps, self._session_events):
            metric.remove_by_labels({"model": key.model, "version": str(key.version)})

    def on_choice(self, key: VersionKey, by_kind: Mapping[TrafficKind, str]) -> None:
        """What requests to it get from now on, by the kind of traffic."""
        with self._lock:
            if key in self._unloaded:
                return
        self._choice.remove_by_labels({"model": key.model, "version": str(key.version)})
        for kind, implementation in by_kind.items():
            self._choice.labels(key.model, str(key.version), kind, implementation).set(1)

    def on_offer(self, key: VersionKey, implementations: Iterable[str]) -> None:
        """Makes the series of a version, at zero, for each implementation that it can run under."""
        for implementation in implementations:
            run = self._run(key, implementation)
            if run is not None:
                run.requests("OK")
                run.sequences("done")

    def _run(self, version: VersionKey | None, implementation: str) -> RunSeries | None:
        """None for a version that is gone: a late fact must not bring its series back."""
        run = self._runs.get((version, implementation))
        if run is not None:
            return run
        with self._lock:
            if version in self._unloaded:
                return None
            run = self._runs[version, implementation] = RunSeries(self._by_run, _labels(version, implementation))
            return run

    def _rpc(self, method: RpcMethod) -> RpcSeries:
        rpc = self._rpcs.get(method)
        if rpc is None:
            rpc = self._rpcs[method] = RpcSeries(self._rpc_started, self._rpc_handled, self._rpc_seconds, method)
        return rpc


def _labels(version: VersionKey | None, implementation: str) -> tuple[str, str, str]:
    return ("", "", implementation) if version is None else (version.model, str(version.version), implementation)


def _version_labels(version: VersionKey | None) -> tuple[str, str]:
    return ("", "") if version is None else (version.model, str(version.version))


class _Present(Collector):
    """What is true at the moment of a scrape."""

    def __init__(
        self,
        lanes: Callable[[], Iterable[LaneFact]],
        versions: Callable[[], Iterable[VersionStatus]],
        sessions: Callable[[], Iterable[SessionCount]],
    ) -> None:
        self._lanes = lanes
        self._versions = versions
        self._sessions = sessions

    def describe(self) -> Iterable[Metric]:
        return self._families([], [], [])

    def collect(self) -> Iterable[Metric]:
        return self._families(self._lanes(), self._versions(), self._sessions())

    def _families(
        self, lanes: Iterable[LaneFact], versions: Iterable[VersionStatus], sessions: Iterable[SessionCount]
    ) -> Iterable[Metric]:
        waiting = GaugeMetricFamily("cellserve_waiting_timesteps", "Time steps accepted and not yet computed.", labels=_VERSION)
        active = GaugeMetricFamily("cellserve_active_sequences", "Sequences with a row of state.", labels=_VERSION)
        rows = GaugeMetricFamily("cellserve_state_rows", "Rows of the state pool.", labels=(*_VERSION, "state"))
        states = GaugeMetricFamily("cellserve_model_state", "1 for the state a version is in.", labels=(*_VERSION, "state"))
        for fact in lanes:
            labels = [fact.version.model, str(fact.version.version)]
            waiting.add_metric(labels, fact.waiting_timesteps)
            active.add_metric(labels, fact.active_sequences)
            rows.add_metric([*labels, "free"], fact.rows_free)
            rows.add_metric([*labels, "used"], fact.rows_used)
        for status in versions:
            for state in VersionState:
                states.add_metric([status.model, str(status.version), state.value], 1 if state is status.state else 0)
        live = GaugeMetricFamily(
            "cellserve_sessions", "Live sequences; parked: their states are on disk.", labels=(*_VERSION, "state")
        )
        for count in sessions:
            labels = [count.version.model, str(count.version.version)]
            for name in STATES:
                live.add_metric([*labels, name], getattr(count, name))
        return (waiting, active, rows, states, live)
