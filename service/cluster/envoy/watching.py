"""A port of Envoy for probes and Prometheus, which shows no more of its administration: that also knows how to end it. Pure."""

from __future__ import annotations

from typing import Any, Final

SHOWN: Final = ("/ready", "/stats/prometheus")
_CLUSTER: Final = "administration"
_TYPE: Final = "type.googleapis.com/envoy.extensions"


def watching(host: str, port: int) -> dict[str, Any]:
    """The listener."""
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "watching",
        "route_config": {
            "name": "watching",
            "virtual_hosts": [
                {
                    "name": "watching",
                    "domains": ["*"],
                    "routes": [{"match": {"path": path}, "route": {"cluster": _CLUSTER}} for path in SHOWN],
                }
            ],
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
        ],
    }
    return {
        "name": "watching",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def administration(address: dict[str, Any]) -> dict[str, Any]:
    """Where that listener finds it. address: as in `admin` of the bootstrap, without what only whoever listens there is told."""
    if "pipe" in address:
        address = {"pipe": {"path": address["pipe"]["path"]}}
    return {
        "name": _CLUSTER,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
