"""Prometheus series and statistics of everything the engine, the door, the live sequences and the catalog tell, and the HTTP page
that shows the series.

One registry of its own, no globals. Facts come from the engine's threads and from the event loop. They are only kept then, which
is cheap, and booked together, at the latest when somebody looks. Knows no gRPC and no torch, and not what counts as what.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from cellserve.models.measuring.traffic import TrafficKind
from cellserve.service.api.facts import ConnectionFact, RequestFact, RpcMethod, ShadowFact, TurnedAway
from cellserve.service.engine.facts import IterationFact, LaneFact, SequenceFact, VersionKey
from cellserve.service.metrics.books import Books
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
from cellserve.service.metrics.gauges import Expiry, Gauges, Memory, Progress, Repository
from cellserve.service.metrics.ledger import Ledger, Soon, now
from cellserve.service.metrics.page import MetricsPage
from cellserve.service.metrics.process import show_process
from cellserve.service.metrics.statistics import Statistics
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.policy.rollout import Rollout
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.observer import SessionCount, SessionEvent

_FACTS: Final = 1024  # booked together: some 200 requests in 0.6 ms


class Metrics:
    """Implements the observers of the engine, the door, the live sequences and the catalog. Safe on any thread.

    soon: has a function called when it delays no request, such as an event loop's call_soon_threadsafe.
    """

    def __init__(self, server_version: str, front: str = "", soon: Soon = now) -> None:
        self._ledger = Ledger[Fact](lambda facts: self._books.book(facts), _FACTS, soon)
        self.registry = _Registry(self._ledger.settled)
        self.statistics = Statistics(self._ledger.settled)  # the same facts as totals
        self._books = Books(self.registry, self.statistics, server_version, front)
        self._pauses = show_process(self.registry)
        self._also: Callable[[RequestFact], None] = lambda fact: None
        self._heard_seconds: float | None = None  # when the event loop was heard of last

    def watch(
        self,
        lanes: Callable[[], Iterable[LaneFact]],
        versions: Callable[[], Iterable[VersionStatus]],
        sessions: Callable[[], Iterable[SessionCount]] = tuple,
        aliases: Callable[[], Iterable[AliasStatus]] = tuple,
        walking: Callable[[], Iterable[Progress]] = tuple,
        certificate_expiry: Callable[[], float | None] = lambda: None,
        repository_trouble: Callable[[], str | None] = lambda: None,
        memory: Callable[[], Mapping[VersionKey, Footprint]] = dict,
        memory_budget_bytes: int = 0,
    ) -> None:
        """Ask these for the present at each scrape. They are called on the page's threads."""
        self.registry.register(Gauges(lanes, versions, sessions, aliases, walking))
        self.registry.register(Expiry(certificate_expiry))
        self.registry.register(Repository(repository_trouble))
        self.registry.register(Memory(memory, memory_budget_bytes))

    def open_page(self, host: str, port: int) -> MetricsPage:
        """Serves /metrics and what stands beside it. Raises OSError: the address cannot be used."""
        return MetricsPage(self.registry, host, port, self.silence_seconds)

    def silence_seconds(self) -> float:
        """Since the event loop was heard of; 0 before it was for the first time. Any thread."""
        return 0.0 if self._heard_seconds is None else time.monotonic() - self._heard_seconds

    def listen(self) -> None:
        """Hears garbage collections, until `close`."""
        self._pauses.listen()

    def close(self) -> None:
        self._pauses.close()

    # --- the engine's observer ---

    def on_iteration(self, fact: IterationFact) -> None:
        self._ledger.tell(fact)

    def on_sequence_end(self, fact: SequenceFact) -> None:
        self._ledger.tell(fact)

    # --- the door's observer ---

    def on_rpc_started(self, method: RpcMethod) -> None:
        self._ledger.tell(method)

    def on_rpc_handled(self, method: RpcMethod, code: str, seconds: float) -> None:
        self._ledger.tell(RpcEnd(method, code, seconds))

    def on_request(self, fact: RequestFact) -> None:
        self._ledger.tell(fact)
        self._also(fact)

    def requests_also_to(self, listener: Callable[[RequestFact], None]) -> None:
        """Each is told at once, on the thread that tells of it."""
        self._also = listener

    def on_shadow(self, fact: ShadowFact) -> None:
        self._ledger.tell(fact)

    def on_turned_away(self, fact: TurnedAway) -> None:
        self._ledger.tell(fact)

    def on_connection(self, fact: ConnectionFact) -> None:
        self._ledger.tell(fact)

    def on_loop(self, lag_seconds: float) -> None:
        self._heard_seconds = time.monotonic()
        self._ledger.tell(LoopFact(lag_seconds))

    # --- the live sequences' observer ---

    def on_session_event(self, version: VersionKey | None, event: SessionEvent) -> None:
        self._ledger.tell(SessionChange(version, event))

    def on_session_step(self, version: VersionKey, seconds: float) -> None:
        self._ledger.tell(SessionStep(version, seconds))

    # --- the session store's observer ---

    def on_store_call(self, operation: str, records: int, seconds: float) -> None:
        self._ledger.tell(StoreCall(operation, records, seconds))

    def on_store_away(self, away: bool, seconds: float) -> None:
        self._ledger.tell(StoreState(away, seconds))

    def on_store_records(self, live: int) -> None:
        self._ledger.tell(StoreRecords(live))

    # --- the catalog's observer ---

    def on_loaded(self, key: VersionKey, seconds: float) -> None:
        with self._ledger.settled():
            self._books.loaded(key, seconds)

    def on_state(self, key: VersionKey, state: VersionState) -> None:
        with self._ledger.settled():
            if state is VersionState.FAILED:
                self._books.failed(key)
            if state is VersionState.UNLOADED:
                self._books.close(key)
            else:
                self._books.open(key)

    def on_aliases(self, aliases: Iterable[AliasStatus]) -> None:
        """These are all of them, and what answers each now."""
        with self._ledger.settled():
            self._books.answer(aliases)

    def on_rollout(self, model: str, rollout: Rollout) -> None:
        """An alias walks, or has stopped walking."""
        if not rollout.walking:
            with self._ledger.settled():
                self._books.rolled_out(model, rollout.alias, rollout.state)

    def on_choice(self, key: VersionKey, by_kind: Mapping[TrafficKind, str]) -> None:
        """What requests to it get from now on, by the kind of traffic."""
        with self._ledger.settled():
            self._books.choose(key, by_kind)

    def on_offer(self, key: VersionKey, implementations: Iterable[str]) -> None:
        """A version can run under these: its series exist from now on."""
        with self._ledger.settled():
            self._books.offer(key, implementations)


class _Registry(CollectorRegistry):
    """Shows everything that was told before it is asked, without the times at which counters were made: a line more for each."""

    def __init__(self, settled: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._settled = settled

    def collect(self) -> Iterable[Metric]:
        with self._settled():
            return map(_without_creation, super().collect())  # nothing is collected yet


def _without_creation(metric: Metric) -> Metric:
    if metric.type == "counter":
        metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    return metric
