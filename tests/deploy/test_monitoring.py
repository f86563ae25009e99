"""Rules, alerts and dashboards: they ask for series that there are, every alert is explained, and Grafana can read the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from cellserve.service.metrics.families import GROUPS
from deploy.grafana.panels import DASHBOARDS, FOLDER, written

ROOT = Path(__file__).parents[2]
PROMETHEUS, GRAFANA = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
RECORDED = [rule for group in yaml.safe_load((PROMETHEUS / "recording.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
FAMILIES = [family for group in GROUPS.values() for family in group]
SAMPLES = {name for family in FAMILIES for name in family.sample_names}
LABELS = {name: {*family.labels, "le"} for family in FAMILIES for name in family.sample_names}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Source(Strict):
    type: Literal["prometheus"]
    uid: Literal["prometheus"]


class Place(Strict):
    x: int = Field(ge=0, lt=24)
    y: int = Field(ge=0)
    w: int = Field(ge=1, le=24)
    h: int = Field(ge=1)


class Target(Strict):
    refId: str = Field(pattern="^[A-Z]$")
    datasource: Source
    expr: str = Field(min_length=1)
    legendFormat: str
    range: bool
    exemplar: bool


class RowPanel(Strict):
    id: int
    type: Literal["row"]
    title: str
    collapsed: bool
    gridPos: Place
    panels: list[None]


class QueryPanel(Strict):
    id: int
    type: Literal["timeseries"]
    title: str = Field(min_length=1)
    description: str
    datasource: Source
    gridPos: Place
    fieldConfig: dict[str, Any]
    options: dict[str, Any]
    targets: list[Target] = Field(min_length=1)


class Variable(Strict):
    name: str
    label: str
    type: Literal["query"]
    datasource: Source
    query: dict[str, str]
    definition: str
    refresh: Literal[1, 2]
    includeAll: bool
    allValue: str
    multi: bool
    current: dict[str, str]


class Templating(Strict):
    list: list[Variable]


class DashboardFile(Strict):
    """What of Grafana's own schema of dashboards is used here."""

    uid: str = Field(pattern=r"^[\w-]{1,40}$")
    title: str
    tags: list[str]
    schemaVersion: int = Field(ge=36)
    editable: bool
    refresh: str
    time: dict[Literal["from", "to"], str]
    timezone: str
    templating: Templating
    panels: list[RowPanel | QueryPanel]


def series_of(query: str) -> set[str]:
    """Names of series in a query."""
    bare = re.sub(r'"[^"]*"', '""', query)
    return set(re.findall(r"\b(?:cellserve|grpc_server|process|python_gc|up)(?:_\w+)?\b", bare)) - {"cellserve"}


def queries() -> Iterator[tuple[str, str]]:
    for rule in (*RECORDED, *ALERTS):
        yield rule.get("alert") or rule["record"], rule["expr"]
    for dashboard in DASHBOARDS:
        for row in dashboard.rows:
            for panel in row.panels:
                for query in panel.queries.values():
                    yield f"{dashboard.title}: {panel.title}", query


@pytest.mark.parametrize(("where", "query"), [*queries()])
def test_a_query_asks_for_series_and_labels_that_there_are(where: str, query: str) -> None:
    recorded = {rule["record"] for rule in RECORDED}
    asked = {name for name in re.findall(r"\b\w+(?::\w+)+\b", query) if name in recorded}
    plain = query
    for name in asked:
        plain = plain.replace(name, "")
    names = series_of(plain) - {"up"}
    assert names | asked or "up" in query, where
    assert names <= SAMPLES, where
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", plain):
        given = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert given <= LABELS.get(name, set()) | {"instance", "job"}, where


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_the_runbook_what_to_do(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section, name
    assert "**What it means.**" in section[1]
    assert "**What to do.**" in section[1]


def test_the_runbook_explains_no_alert_that_is_not_there() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_a_dashboard_is_what_the_table_says_and_what_grafana_reads(dashboard: Any) -> None:
    text = (FOLDER / f"{dashboard.uid}.json").read_text()
    assert text == written(dashboard), "run python -m deploy.grafana.panels"
    read = DashboardFile.model_validate(json.loads(text))
    places = [(panel.gridPos.x, panel.gridPos.y) for panel in read.panels]
    assert len(set(places)) == len(places)
    assert [panel.id for panel in read.panels] == list(range(1, len(read.panels) + 1))
    variables = {f"${variable.name}" for variable in read.templating.list} | {"$__rate_interval"}
    for panel in read.panels:
        if isinstance(panel, QueryPanel):
            for target in panel.targets:
                assert set(re.findall(r"\$\w+", target.expr)) <= variables


def test_every_dashboard_is_provisioned_with_the_source_that_it_asks() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == ("prometheus", "prometheus")
    assert {path.stem for path in FOLDER.glob("*.json")} == {dashboard.uid for dashboard in DASHBOARDS}


def test_prometheus_reads_the_rules() -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert {*configuration["rule_files"]} == {"recording.yml", "alerts.yml"}


def test_latencies_are_shown_with_the_traces_that_they_name() -> None:
    """As dots of a panel, out of a Prometheus that keeps them."""
    panels = [panel for file in FOLDER.glob("*.json") for panel in json.loads(file.read_text())["panels"]]
    targets = [target for panel in panels for target in panel.get("targets", [])]
    shown = [target["expr"] for target in targets if target["exemplar"]]
    assert shown
    assert all("cellserve_request_duration_seconds_bucket" in expr for expr in shown)
    for file in ("compose.yaml", "compose.cluster.yaml"):
        services = yaml.safe_load((ROOT / "deploy" / file).read_text())["services"]
        assert "--enable-feature=exemplar-storage" in services["prometheus"]["command"]
