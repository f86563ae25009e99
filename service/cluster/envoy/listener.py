"""The port that clients call: TLS, whose headers are believed, who may administer, the filter that finds sequences. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from cellserve.service.api.access.rights import ADMINISTRATION
from cellserve.service.cluster.envoy.plan import ProxyPlan
from cellserve.service.cluster.envoy.routes import GUARD, READ_ID, routes
from cellserve.service.networks import Network
from cellserve.service.tls_files import TlsFiles

_TYPE: Final = "type.googleapis.com/envoy.extensions"
_FRAME_BYTES: Final = 64 * 1024  # a body is a little more than its message
_NOBODY: Final = {"address_prefix": "255.255.255.255", "prefix_len": 32}  # with an empty list private networks are believed
_LOOPBACK: Final = ({"address_prefix": "127.0.0.0", "prefix_len": 8}, {"address_prefix": "::1", "prefix_len": 128})


def listener(plan: ProxyPlan) -> dict[str, Any]:
    """Every caller is foreign: what proxies say to each other in x-envoy headers, and a request's id, are Envoy's own affair."""
    body_bytes = plan.max_message_bytes + _FRAME_BYTES
    guarded = () if plan.administration_from is None else ADMINISTRATION
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "HTTP2",
        "use_remote_address": True,
        "internal_address_config": {"unix_sockets": False, "cidr_ranges": [_NOBODY]},
        "preserve_external_request_id": plan.believe_request_ids,
        "generate_request_id": True,
        "stream_idle_timeout": "0s",
        "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "20s"}},
        "route_config": {
            "name": "all",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes(body_bytes, guarded)}],
        },
        "http_filters": _filters(plan),
    }
    chain: dict[str, Any] = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if plan.tls is not None:
        chain["transport_socket"] = _tls(plan.tls)
    return {
        "name": "clients",
        "address": {"socket_address": {"address": plan.host, "port_value": plan.port}},
        "per_connection_buffer_limit_bytes": body_bytes,
        "filter_chains": [chain],
    }


def _filters(plan: ProxyPlan) -> list[dict[str, Any]]:
    lua = (files(__package__) / "sequence_id.lua").read_text()
    filters: list[dict[str, Any]] = [
        {
            "name": READ_ID,
            "disabled": True,
            "typed_config": {
                "@type": f"{_TYPE}.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": lua},
            },
        },
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}},
    ]
    if plan.administration_from is not None:
        filters.insert(0, _administrators(plan.administration_from))
    return filters


def _administrators(networks: Sequence[Network]) -> dict[str, Any]:
    """Replicas without tokens let their own machine administer, and Envoy is there: so it must ask whom it speaks for."""
    allowed = [*_LOOPBACK, *({"address_prefix": str(each.network_address), "prefix_len": each.prefixlen} for each in networks)]
    return {
        "name": GUARD,
        "disabled": True,
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "DENY",
                "policies": {
                    "administration": {
                        "permissions": [{"url_path": {"path": {"exact": path}}} for path in sorted(ADMINISTRATION)],
                        "principals": [{"not_id": {"or_ids": {"ids": [{"direct_remote_ip": each} for each in allowed]}}}],
                    }
                },
            },
        },
    }


def _tls(given: TlsFiles) -> dict[str, Any]:
    common: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {"certificate_chain": {"filename": str(given.certificate)}, "private_key": {"filename": str(given.key)}}
        ],
    }
    if given.client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(given.client_ca)}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": given.client_ca is not None,
            "common_tls_context": common,
        },
    }
