"""Gauges that are asked for at each scrape. Knows whom to ask, not who that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cellserve.service.engine.facts import LaneFact
from cellserve.service.registry.status import AliasStatus, VersionState, VersionStatus
from cellserve.service.sessions.info import STATES
from cellserve.service.sessions.observer import SessionCount

_VERSION: Final = ("model", "version")
_ALIAS: Final = ("model", "alias")


class Gauges(Collector):
    """What is true at the moment of a scrape. Its sources are called on the thread that scrapes."""

    def __init__(
        self,
        lanes: Callable[[], Iterable[LaneFact]],
        versions: Callable[[], Iterable[VersionStatus]],
        sessions: Callable[[], Iterable[SessionCount]],
        aliases: Callable[[], Iterable[AliasStatus]],
    ) -> None:
        self._lanes = lanes
        self._versions = versions
        self._sessions = sessions
        self._aliases = aliases

    def describe(self) -> Iterable[Metric]:
        return self._families([], [], [], [])

    def collect(self) -> Iterable[Metric]:
        return self._families(self._lanes(), self._versions(), self._sessions(), self._aliases())

    def _families(
        self,
        lanes: Iterable[LaneFact],
        versions: Iterable[VersionStatus],
        sessions: Iterable[SessionCount],
        aliases: Iterable[AliasStatus],
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
        return (waiting, active, rows, states, live, *_alias_families(aliases))


def _alias_families(aliases: Iterable[AliasStatus]) -> tuple[Metric, ...]:
    """An empty alias is what a request without a version means."""
    fallen_back = GaugeMetricFamily(
        "cellserve_alias_fallback",
        "1 while an alias is answered by the last version that served, because the one that it names cannot be; else 0.",
        labels=_ALIAS,
    )
    answering = GaugeMetricFamily("cellserve_alias_version", "The version that answers an alias; 0: none does.", labels=_ALIAS)
    share = GaugeMetricFamily(
        "cellserve_alias_share",
        "Share of an alias' requests that a version answers, of those that are split.",
        labels=(*_ALIAS, "version"),
    )
    for one in aliases:
        for version, weight in one.split.items():
            share.add_metric([one.model, one.alias, str(version)], weight)
        fallen_back.add_metric([one.model, one.alias], 1 if one.fallen_back else 0)
        answering.add_metric([one.model, one.alias], one.answering or 0)
    return (fallen_back, answering, share)
