"""The dashboards of cellserve as one table of panels: `python -m deploy.grafana.panels` writes deploy/grafana/dashboards/*.json.

Knows Grafana's format of dashboards and the names of series; asks no server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "dashboards"
_SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 24
_SCHEMA_VERSION: Final = 39  # of Grafana 10 and later


class Panel(NamedTuple):
    """queries: what is shown of each, as a legend, and the query. unit: as Grafana names it."""

    title: str
    unit: str
    queries: Mapping[str, str]
    text: str = ""
    kind: str = "timeseries"


class Row(NamedTuple):
    title: str
    panels: Sequence[Panel]


class Dashboard(NamedTuple):
    uid: str
    title: str
    rows: Sequence[Row]


_EXEMPLIFIED = "cellserve_request_duration_seconds"
_OF = '{model=~"$model", instance=~"$instance"}'
_LOADING = "cellserve_model_load_duration_seconds"
_HERE = '{instance=~"$instance"}'


def _rate(series: str, by: str, of: str = _OF) -> str:
    return f"sum by ({by}) (rate({series}{of}[$__rate_interval]))"


def _quantile(q: float, series: str, by: str, of: str = _OF) -> str:
    return f"histogram_quantile({q}, {_rate(f'{series}_bucket', f'{by}, le' if by else 'le', of)})"


def _mean(series: str, by: str, of: str = _OF) -> str:
    return f"{_rate(f'{series}_sum', by, of)} / {_rate(f'{series}_count', by, of)}"


_TRAFFIC = Row(
    "Traffic",
    (
        Panel("Requests", "reqps", {"{{model}} {{code}}": _rate("cellserve_requests_total", "model, code")}),
        Panel("Time steps", "ops", {"{{model}}": _rate("cellserve_timesteps_total", "model")}, "Computed, without padding."),
        Panel(
            "Calls", "reqps", {"{{grpc_method}}": _rate("grpc_server_started_total", "grpc_method", _HERE)}, "Of every method."
        ),
    ),
)
_ERRORS = Row(
    "Errors by reason",
    (
        Panel("Turned away", "reqps", {"{{reason}}": _rate("cellserve_rejected_total", "reason", _HERE)}, "docs/errors.md"),
        Panel(
            "Turned away by token",
            "reqps",
            {"{{token}} {{reason}}": _rate("cellserve_rejected_by_token_total", "token, reason", _HERE)},
        ),
        Panel(
            "Calls by status",
            "reqps",
            {"{{grpc_code}}": _rate("grpc_server_handled_total", "grpc_code", '{grpc_code!="OK", instance=~"$instance"}')},
        ),
    ),
)
_LATENCY = Row(
    "Latency by implementation",
    (
        Panel(
            "Half of the requests",
            "s",
            {"{{model}} {{implementation}}": _quantile(0.5, "cellserve_request_duration_seconds", "model, implementation")},
        ),
        Panel(
            "99 of 100 requests",
            "s",
            {"{{model}} {{implementation}}": _quantile(0.99, "cellserve_request_duration_seconds", "model, implementation")},
        ),
        Panel(
            "What gets which implementation",
            "short",
            {"{{model}}/{{version}} {{kind}}: {{implementation}}": f"cellserve_implementation_choice_info{_OF}"},
            "By the kind of traffic, unless a request names one.",
        ),
    ),
)
_PARTS = Row(
    "Queue against compute",
    (
        Panel(
            "On average",
            "s",
            {
                "queue": _mean("cellserve_queue_duration_seconds", ""),
                "compute": _mean("cellserve_compute_duration_seconds", ""),
                "whole": _mean("cellserve_request_duration_seconds", ""),
            },
        ),
        Panel("Queue, 99 of 100", "s", {"{{model}}": _quantile(0.99, "cellserve_queue_duration_seconds", "model")}),
        Panel("Compute, 99 of 100", "s", {"{{model}}": _quantile(0.99, "cellserve_compute_duration_seconds", "model")}),
    ),
)
_OVERLOAD = Row(
    "Overload",
    (
        Panel(
            "Refused, by what was short",
            "reqps",
            {"{{cause}}": _rate("cellserve_overload_refused_total", "cause", _HERE)},
            "docs/overload.md",
        ),
        Panel(
            "Goodput against work",
            "ops",
            {
                "answered in time": _rate("cellserve_goodput_timesteps_total", ""),
                "computed": _rate("cellserve_timesteps_total", ""),
            },
            "Time steps. Where they part, work is done for nobody.",
        ),
        Panel(
            "Time taken, of what was predicted",
            "percentunit",
            {
                "half": _quantile(0.5, "cellserve_prediction_ratio", ""),
                "99 of 100": _quantile(0.99, "cellserve_prediction_ratio", ""),
            },
            "Wait included. Above 100 %: not kept.",
        ),
        Panel(
            "Waiting",
            "short",
            {"{{model}}/{{version}}": f"cellserve_waiting_timesteps{_OF}"},
            "Time steps accepted and not computed.",
        ),
        Panel(
            "Event loop, late by",
            "s",
            {
                "half": _quantile(0.5, "cellserve_event_loop_lag_seconds", "", _HERE),
                "99 of 100": _quantile(0.99, "cellserve_event_loop_lag_seconds", "", _HERE),
            },
        ),
        Panel("Sequences by their end", "ops", {"{{reason}}": _rate("cellserve_sequence_ended_total", "reason")}),
    ),
)
_BATCHES = Row(
    "Rows and padding",
    (
        Panel(
            "Rows of an iteration",
            "short",
            {"{{model}} {{implementation}}": _mean("cellserve_iteration_rows", "model, implementation")},
            "On average.",
        ),
        Panel(
            "Steps of an iteration",
            "short",
            {"{{model}} {{implementation}}": _mean("cellserve_iteration_steps", "model, implementation")},
            "On average.",
        ),
        Panel(
            "Padding",
            "percentunit",
            {"{{model}} {{implementation}}": _mean("cellserve_iteration_padding_ratio", "model, implementation")},
            "Share of rows times steps, on average.",
        ),
        Panel(
            "Iterations",
            "ops",
            {"{{model}} {{implementation}}": _rate("cellserve_iteration_duration_seconds_count", "model, implementation")},
        ),
        Panel(
            "An iteration takes",
            "s",
            {
                "half": _quantile(0.5, "cellserve_iteration_duration_seconds", ""),
                "99 of 100": _quantile(0.99, "cellserve_iteration_duration_seconds", ""),
            },
        ),
        Panel("Rows of state", "short", {"{{model}}/{{version}} {{state}}": f"cellserve_state_rows{_OF}"}),
    ),
)
_SESSIONS = Row(
    "Live sequences",
    (
        Panel("Live", "short", {"{{model}}/{{version}} {{state}}": f"cellserve_sessions{_OF}"}),
        Panel("What became of them", "ops", {"{{event}}": _rate("cellserve_session_events_total", "event")}),
        Panel(
            "A feed takes",
            "s",
            {
                "half": _quantile(0.5, "cellserve_session_step_duration_seconds", ""),
                "99 of 100": _quantile(0.99, "cellserve_session_step_duration_seconds", ""),
            },
        ),
    ),
)
_VERSIONS = Row(
    "Versions and swaps",
    (
        Panel(
            "Version that answers",
            "none",
            {"{{model}}@{{alias}}": f"cellserve_alias_version{_OF}"},
            "Of an empty alias: requests without a version.",
        ),
        Panel("Swaps", "short", {"{{model}}@{{alias}}": f"cellserve_alias_swaps_total{_OF}"}),
        Panel("Versions by state", "short", {"{{state}}": f"sum by (state) (cellserve_model_state{_OF})"}),
        Panel("Loads", "short", {"{{model}} {{result}}": f"cellserve_model_loads_total{_OF}"}),
        Panel(
            "A load takes",
            "s",
            {"{{model}}/{{version}}": f"{_LOADING}_sum{_OF} / {_LOADING}_count{_OF}"},
        ),
        Panel(
            "Fallen back",
            "none",
            {"{{model}}@{{alias}}": f"cellserve_alias_fallback{_OF}"},
            "1: the version that an alias names cannot be served, an older one answers.",
        ),
    ),
)
_PROCESS = Row(
    "Process",
    (
        Panel(
            "Processor",
            "percentunit",
            {"{{instance}}": f"rate(process_cpu_seconds_total{_HERE}[$__rate_interval])"},
            "100 %: one core.",
        ),
        Panel("Memory", "bytes", {"resident {{instance}}": f"process_resident_memory_bytes{_HERE}"}),
        Panel(
            "Memory of versions",
            "bytes",
            {
                "{{model}}/{{version}} weights": f"cellserve_version_weights_bytes{_OF}",
                "{{model}}/{{version}} states": f"cellserve_version_states_bytes{_OF}",
                "{{model}}/{{version}} live sequences": f"cellserve_session_states_bytes{_OF}",
            },
        ),
        Panel("Descriptors", "short", {"open": f"process_open_fds{_HERE}", "at most": f"process_max_fds{_HERE}"}),
        Panel("Threads", "short", {"{{instance}}": f"cellserve_threads{_HERE}"}),
        Panel(
            "Garbage collection",
            "percentunit",
            {"generation {{generation}}": _rate("cellserve_gc_pause_seconds_sum", "generation", _HERE)},
            "Share of the time that it stops every thread.",
        ),
        Panel("Connections", "short", {"open": f"cellserve_connections{_HERE}"}, "Of the front on frames."),
        Panel("Calls under way", "short", {"{{grpc_method}} ({{grpc_type}})": f"cellserve_open_calls{_HERE}"}),
        Panel("Connections ended", "ops", {"{{cause}}": _rate("cellserve_connections_ended_total", "cause", _HERE)}),
    ),
)

DASHBOARDS: Final = (
    Dashboard("cellserve-service", "cellserve: the service", (_TRAFFIC, _ERRORS, _LATENCY, _PARTS, _OVERLOAD)),
    Dashboard("cellserve-inside", "cellserve: inside", (_BATCHES, _SESSIONS, _VERSIONS, _PROCESS)),
)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """As Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["cellserve"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_variable("instance", 'up{job="cellserve"}'), _variable("model", "cellserve_model_state")]},
        "panels": list(_laid_out(dashboard.rows)),
    }


def _variable(name: str, series: str) -> dict[str, Any]:
    query = f"label_values({series}, {name})"
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        for index, panel in enumerate(row.panels):
            number += 1
            x = index * _WIDTH % _COLUMNS
            y = top + index * _WIDTH // _COLUMNS * _HEIGHT
            yield _panel(panel, number, {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT})
        top += -(-len(row.panels) * _WIDTH // _COLUMNS) * _HEIGHT


def _panel(panel: Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            "range": True,
            "exemplar": f"{_EXEMPLIFIED}_bucket" in query,  # dots beside the line, each of which names a trace
        }
        for index, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def written(dashboard: Dashboard) -> str:
    return json.dumps(document(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(written(dashboard))
