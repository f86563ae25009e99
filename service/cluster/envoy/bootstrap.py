"""The file that Envoy is started with. Pure."""

from __future__ import annotations

from typing import Any

from cellserve.service.cluster.envoy.listener import listener
from cellserve.service.cluster.envoy.plan import ProxyPlan
from cellserve.service.cluster.envoy.upstream import cluster
from cellserve.service.cluster.envoy.watching import administration, watching


def bootstrap(plan: ProxyPlan) -> dict[str, Any]:
    """As JSON it is a configuration of Envoy."""
    listeners, clusters = [listener(plan)], [cluster(plan)]
    if plan.watch is not None:
        listeners.append(watching(*plan.watch))
        clusters.append(administration(_address(plan.admin)))
    return {
        "node": {"id": "cellserve", "cluster": "cellserve"},
        "admin": {"address": _address(plan.admin)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _address(where: str | tuple[str, int]) -> dict[str, Any]:
    if isinstance(where, str):
        return {"pipe": {"path": where, "mode": 0o600}}
    return {"socket_address": {"address": where[0], "port_value": where[1]}}
