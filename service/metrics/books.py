"""What counts as what: facts become Prometheus samples and statistics, many at once.

Series of a version exist from the moment it is loaded (so that rate() sees the first request) until it is unloaded; facts that
are booked later are dropped, since they would bring its series back. Knows no gRPC, no page and no threads.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from cellserve.models.measuring.traffic import TrafficKind
from cellserve.service.api.facts import CONNECTION_ENDS, ConnectionFact, RequestFact, RpcMethod, ShadowFact, TurnedAway
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.metrics import families
from cellserve.service.metrics.facts import (
    Fact,
    LoopFact,
    RpcEnd,
    SessionChange,
    SessionStep,
    StoreCall,
    StoreRecords,
    StoreState,
)
from cellserve.service.metrics.families import Family
from cellserve.service.metrics.group_by import group_by
from cellserve.service.metrics.histograms import Histogram
from cellserve.service.metrics.model_series import ModelSeries
from cellserve.service.metrics.series import RpcFamilies, RunFamilies, RunSeries, ShadowFamilies, StoreFamilies
from cellserve.service.metrics.statistics import Statistics
from cellserve.service.registry.status import AliasStatus

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
        "STORE_UNAVAILABLE",
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
            ShadowFact: self._book_shadow_runs,
            SessionChange: self._book_session_changes,
            SessionStep: self._book_session_steps,
            StoreCall: self._book_store_calls,
            StoreState: self._book_store_states,
            StoreRecords: self._book_store_records,
        }

        def histogram(family: Family) -> Histogram:
            return Histogram(family.name, family.text, family.labels, family.buckets, registry)

        def counter(family: Family) -> Counter:
            return Counter(family.name, family.text, family.labels, registry=registry)

        def gauge(family: Family) -> Gauge:
            return Gauge(family.name, family.text, family.labels, registry=registry)

        self._by_run = RunFamilies(
            histogram(families.REQUEST_SECONDS),
            histogram(families.QUEUE_SECONDS),
            histogram(families.COMPUTE_SECONDS),
            histogram(families.ITERATION_SECONDS),
            histogram(families.ITERATION_ROWS),
            histogram(families.ITERATION_STEPS),
            histogram(families.ITERATION_PADDING),
            histogram(families.PREDICTION),
            counter(families.TIMESTEPS),
            counter(families.GOODPUT),
            counter(families.CANCELLED),
            counter(families.REQUESTS),
            counter(families.SEQUENCES),
        )
        self._load_seconds = histogram(families.LOAD)
        self._choice = gauge(families.CHOICE)
        self._session_steps = histogram(families.SESSION_STEPS)
        self._session_events = counter(families.SESSION_EVENTS)

        def store() -> StoreFamilies:
            return StoreFamilies(
                histogram(families.STORE_SECONDS),
                histogram(families.STORE_RECORDS),
                gauge(families.STORE_AVAILABLE),
                counter(families.STORE_DEGRADED),
                gauge(families.STORE_SEQUENCES),
            )

        def shadow() -> ShadowFamilies:
            difference, seconds = histogram(families.SHADOW_DIFFERENCE), histogram(families.SHADOW_SECONDS)
            return ShadowFamilies(counter(families.SHADOWED), difference, seconds)

        # Made with the first fact: most servers have none.
        self._make_store, self._make_shadow = store, shadow
        self._make_rollouts = partial(counter, families.ROLLOUTS)
        self._store: StoreFamilies | None = None
        self._shadow: ShadowFamilies | None = None
        self._rollouts: Counter | None = None
        self._rejected = counter(families.REJECTED)
        self._rejected_by_token = counter(families.REJECTED_BY_TOKEN)
        self._overload = counter(families.OVERLOAD)
        self._connections = gauge(families.CONNECTIONS)
        self._connection_ends = counter(families.CONNECTION_ENDS)
        for end in CONNECTION_ENDS:
            self._connection_ends.labels(end)
        self._loop_lag = histogram(families.LOOP_LAG).labels()
        self._by_method = RpcFamilies(
            counter(families.RPC_STARTED),
            counter(families.RPC_HANDLED),
            histogram(families.RPC_SECONDS),
            gauge(families.OPEN_CALLS),
        )
        self._models = ModelSeries(counter(families.LOADS), counter(families.ALIAS_SWAPS))
        gauge(families.BUILD).labels(server_version, front).set(1)

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
        self._models.unloaded(key)
        for metric in (*self._by_run, self._load_seconds, self._choice, self._session_steps, self._session_events):
            metric.remove_by_labels({"model": key.model, "version": str(key.version)})
        for metric in self._shadow or ():
            for label in ("version", "shadow"):
                metric.remove_by_labels({"model": key.model, label: str(key.version)})

    def offer(self, key: VersionKey, implementations: Iterable[str]) -> None:
        """Makes the series of a version, at zero, for each implementation that it can run under."""
        if key not in self._unloaded:
            for implementation in implementations:
                self._run(key, implementation).offer()

    def loaded(self, key: VersionKey, seconds: float) -> None:
        self._load_seconds.labels(*_version_labels(key)).add([seconds])
        self._models.loaded(key)

    def failed(self, key: VersionKey) -> None:
        """A version could not be loaded."""
        self._models.failed(key)

    def answer(self, aliases: Iterable[AliasStatus]) -> None:
        """These are all aliases now, and what answers them."""
        self._models.answer(aliases)

    def rolled_out(self, model: str, alias: str, result: str) -> None:
        """A gradual promote has ended."""
        if self._rollouts is None:
            self._rollouts = self._make_rollouts()
        self._rollouts.labels(model, alias, result).inc()

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
        by_token = Tally(
            [(fact.reason, fact.token or "") for fact in facts if fact.token is not None and fact.reason in _REFUSALS]
        )
        for (reason, token), number in by_token.items():
            self._rejected_by_token.labels(reason, token).inc(number)
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

    def _book_store_calls(self, calls: list[StoreCall]) -> None:
        store = self._store_families()
        for operation, alike in group_by(calls, attrgetter("operation")).items():
            store.seconds.labels(operation).add([call.seconds for call in alike])
            store.records.labels(operation).add([call.records for call in alike])

    def _book_store_states(self, states: list[StoreState]) -> None:
        store = self._store_families()
        store.available.set(0 if states[-1].away else 1)
        store.degraded.inc(sum([state.seconds for state in states]))

    def _book_store_records(self, records: list[StoreRecords]) -> None:
        self._store_families().sequences.set(records[-1].live)

    def _book_shadow_runs(self, facts: list[ShadowFact]) -> None:
        if self._shadow is None:
            self._shadow = self._make_shadow()
        for fact in facts:
            if not self._unloaded.isdisjoint((fact.version, fact.shadow)):
                continue
            labels = (*_version_labels(fact.version), str(fact.shadow.version))
            self._shadow.requests.labels(*labels, fact.result).inc()
            if fact.difference is not None:
                self._shadow.difference.labels(*labels).add([fact.difference])
            if fact.seconds is not None:
                self._shadow.seconds.labels(*labels).add([fact.seconds])

    def _store_families(self) -> StoreFamilies:
        if self._store is None:
            self._store = self._make_store()
            self._store.available.set(1)
        return self._store

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
