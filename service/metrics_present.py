"""Gauges that are asked for at each scrape. Knows whom to ask, not who that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cellserve.service.engine.facts import LaneFact
from cellserve.service.registry.status import VersionState, VersionStatus
from cellserve.service.sessions.info import STATES
from cellserve.service.sessions.observer import SessionCount

_VERSION: Final = ("model", "version")


class Present(Collector):
    """What is true at the moment of a scrape. Its sources are called on the thread that scrapes."""

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
