"""Gauges that are asked for at each scrape. Knows whom to ask, not who that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cellserve.service.engine.facts import LaneFact, VersionKey
from cellserve.service.metrics import families
from cellserve.service.metrics.families import Family
from cellserve.service.registry.memory.footprint import Footprint
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.info import STATES
from cellserve.service.sessions.observer import SessionCount

Progress = tuple[str, str, float]  # of a gradual promote: model, alias, how much of its time has gone


class Gauges(Collector):
    """What is true at the moment of a scrape. Its sources are called on the thread that scrapes."""

    def __init__(
        self,
        lanes: Callable[[], Iterable[LaneFact]],
        versions: Callable[[], Iterable[VersionStatus]],
        sessions: Callable[[], Iterable[SessionCount]],
        aliases: Callable[[], Iterable[AliasStatus]],
        walking: Callable[[], Iterable[Progress]],
    ) -> None:
        self._lanes = lanes
        self._versions = versions
        self._sessions = sessions
        self._aliases = aliases
        self._walking = walking

    def describe(self) -> Iterable[Metric]:
        return self._families([], [], [], [], [])

    def collect(self) -> Iterable[Metric]:
        return self._families(self._lanes(), self._versions(), self._sessions(), self._aliases(), self._walking())

    def _families(
        self,
        lanes: Iterable[LaneFact],
        versions: Iterable[VersionStatus],
        sessions: Iterable[SessionCount],
        aliases: Iterable[AliasStatus],
        walking: Iterable[Progress],
    ) -> Iterable[Metric]:
        waiting, active, rows = _gauge(families.WAITING), _gauge(families.ACTIVE), _gauge(families.STATE_ROWS)
        weights, pools = _gauge(families.WEIGHTS_BYTES), _gauge(families.STATES_BYTES)
        for fact in lanes:
            labels = [fact.version.model, str(fact.version.version)]
            waiting.add_metric(labels, fact.waiting_timesteps)
            active.add_metric(labels, fact.active_sequences)
            rows.add_metric([*labels, "free"], fact.rows_free)
            rows.add_metric([*labels, "used"], fact.rows_used)
            weights.add_metric(labels, fact.weights_bytes)
            pools.add_metric(labels, fact.states_bytes)
        states = _gauge(families.MODEL_STATE)
        for status in versions:
            for state in VersionState:
                states.add_metric([status.model, str(status.version), state.value], 1 if state is status.state else 0)
        live, live_bytes = _gauge(families.SESSIONS), _gauge(families.SESSION_BYTES)
        for count in sessions:
            labels = [count.version.model, str(count.version.version)]
            for name in STATES:
                live.add_metric([*labels, name], getattr(count, name))
            live_bytes.add_metric(labels, count.states_bytes)
        return (waiting, active, rows, weights, pools, states, live, live_bytes, *_alias_families(aliases), *_walks(walking))


def _alias_families(aliases: Iterable[AliasStatus]) -> tuple[Metric, ...]:
    """An empty alias is what a request without a version means."""
    fallen_back, answering = _gauge(families.ALIAS_FALLBACK), _gauge(families.ALIAS_VERSION)
    share = _gauge(families.ALIAS_SHARE)
    for one in aliases:
        for version, weight in one.split.items():
            share.add_metric([one.model, one.alias, str(version)], weight)
        fallen_back.add_metric([one.model, one.alias], 1 if one.fallen_back else 0)
        answering.add_metric([one.model, one.alias], one.answering or 0)
    return (fallen_back, answering, share)


def _walks(walking: Iterable[Progress]) -> list[Metric]:
    """Nothing where nothing walks."""
    progress = _gauge(families.ROLLOUT_PROGRESS)
    for model, alias, ratio in walking:
        progress.add_metric([model, alias], ratio)
    return [progress] if progress.samples else []


class Expiry(Collector):
    """of: when the server's certificate expires, in seconds since 1970; None: that cannot be told."""

    def __init__(self, of: Callable[[], float | None]) -> None:
        self._of = of

    def describe(self) -> Iterable[Metric]:
        return [_gauge(families.CERTIFICATE)]

    def collect(self) -> Iterable[Metric]:
        expiry, seconds = _gauge(families.CERTIFICATE), self._of()
        if seconds is not None:
            expiry.add_metric([], seconds)
        return [expiry]


class Repository(Collector):
    """trouble: why it cannot be read; None: it can."""

    def __init__(self, trouble: Callable[[], str | None]) -> None:
        self._trouble = trouble

    def describe(self) -> Iterable[Metric]:
        return [_gauge(families.REPOSITORY_AVAILABLE)]

    def collect(self) -> Iterable[Metric]:
        available = _gauge(families.REPOSITORY_AVAILABLE)
        available.add_metric([], 1 if self._trouble() is None else 0)
        return [available]


class Memory(Collector):
    """of: what each loaded version takes. budget_bytes: for all of them; 0: any amount."""

    def __init__(self, of: Callable[[], Mapping[VersionKey, Footprint]], budget_bytes: int) -> None:
        self._of = of
        self._budget_bytes = budget_bytes

    def describe(self) -> Iterable[Metric]:
        return self._families({})

    def collect(self) -> Iterable[Metric]:
        return self._families(self._of())

    def _families(self, of: Mapping[VersionKey, Footprint]) -> Iterable[Metric]:
        copies, budget = _gauge(families.COPIES_BYTES), _gauge(families.MEMORY_BUDGET)
        for key, use in of.items():
            copies.add_metric([key.model, str(key.version)], use.copies_bytes)
        budget.add_metric([], self._budget_bytes)
        return (copies, budget)


def _gauge(family: Family) -> GaugeMetricFamily:
    return GaugeMetricFamily(family.name, family.text, labels=family.labels)
