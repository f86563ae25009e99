"""The replicas as Envoy knows them: one cluster, where they are, how they are called and when they are believed dead. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cellserve.service.cluster.envoy.plan import Endpoint, EndpointsByName, EndpointsFile, ProxyPlan, UpstreamTls

REPLICAS: Final = "replicas"
_EDS_TYPE: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LIVE_SEQUENCES: Final = "cellserve.v1.Sequences/live"  # SERVING where a server and its store see each other
_PONG_SECONDS: Final = 4.0
_MORE_SECONDS: Final = 1.0  # than the least that replicas allow: two pings may come closer together than they were sent
_NO_LIMIT: Final = 2**31 - 1  # the replicas refuse what is too much for them, and say when to come again


def cluster(plan: ProxyPlan) -> dict[str, Any]:
    """Ring hash where a request has a hash, any replica where it has none. A replica that is taken off the list, or whose health
    fails, gets no further request. One that is out of reach is given up by the pings of its connection, and what was under way
    there is asked again elsewhere. Where none has been seen healthy all are tried: the one that has just come back may be the
    only one left, and without a store whole requests go on.
    """
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    return {
        "name": REPLICAS,
        **_discovery(plan.replicas),
        "connect_timeout": "1s",
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": 1024},
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "circuit_breakers": {"thresholds": [limits]},
        "ignore_health_on_host_removal": True,
        "close_connections_on_host_health_failure": True,
        "health_checks": [
            {
                "timeout": "5s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": LIVE_SEQUENCES},
            }
        ],
        "typed_extension_protocol_options": {
            _HTTP: {
                "@type": f"type.googleapis.com/{_HTTP}",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {
                            "interval": f"{plan.ping_seconds:g}s",
                            "interval_jitter": {"value": 0},
                            "timeout": f"{_PONG_SECONDS:g}s",
                        }
                    },
                },
            }
        },
        **({} if plan.upstream_tls is None else {"transport_socket": _tls(plan.upstream_tls)}),
    }


def ping_seconds(min_ping_interval_seconds: float) -> float:
    """Of replicas with that setting."""
    return min_ping_interval_seconds + _MORE_SECONDS


def assignment(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """What an EndpointsFile holds. A replica keeps its place on the ring by its name, wherever it listens."""
    return {"version_info": "", "resources": [{"@type": _EDS_TYPE, **_load_assignment(endpoints)}]}


def _load_assignment(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    return {
        "cluster_name": REPLICAS,
        "endpoints": [{"lb_endpoints": [_endpoint(each.host, each.port, each.name) for each in endpoints]}],
    }


def _endpoint(host: str, port: int, place: str | None) -> dict[str, Any]:
    """place: by which it is on the ring; None: by its address."""
    endpoint: dict[str, Any] = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    return endpoint if place is None else {**endpoint, "metadata": {"filter_metadata": {"envoy.lb": {"hash_key": place}}}}


def _discovery(replicas: EndpointsFile | EndpointsByName) -> dict[str, Any]:
    if isinstance(replicas, EndpointsFile):
        source = {"path_config_source": {"path": replicas.path}, "resource_api_version": "V3"}
        return {"type": "EDS", "eds_cluster_config": {"eds_config": source}}
    several = len(replicas.addresses) > 1
    return {
        "type": "STRICT_DNS",
        "dns_refresh_rate": "1s",
        "dns_lookup_family": "V4_PREFERRED",  # servers listen on 0.0.0.0 unless they are told otherwise
        "load_assignment": {
            "cluster_name": REPLICAS,
            "endpoints": [
                {"lb_endpoints": [_endpoint(host, port, host if several else None) for host, port in replicas.addresses]}
            ],
        },
    }


def _tls(files: UpstreamTls) -> dict[str, Any]:
    shown = []
    if files.certificate is not None and files.key is not None:
        shown = [{"certificate_chain": {"filename": str(files.certificate)}, "private_key": {"filename": str(files.key)}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": files.server_name,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificates": shown,
                "validation_context": {
                    "trusted_ca": {"filename": str(files.ca)},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": files.server_name}}],
                },
            },
        },
    }
