"""Which requests Envoy asks again, and which it leaves alone. Pure.

A request that is broken off, by the death of a replica, is asked again elsewhere under the same x-request-id, by which replicas
know whether it was applied. So only those are that are applied once then, or have no effect: feeds, whole sequences, questions.
Others are while it is sure that nobody has read them. Streams are never: what was sent on them is gone with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cellserve.service.cluster.envoy.upstream import REPLICAS

STREAMS: Final = (
    "/cellserve.v1.Sequences/Stream",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
NAMING: Final = (  # a sequence, in their body: sequence_id.lua knows where
    "/inference.GRPCInferenceService/ModelInfer",
    *(f"/cellserve.v1.Sequences/{name}" for name in ("Open", "Feed", "Get", "Snapshot", "Restore", "Fork", "Close")),
)
UNREPEATABLE: Final = tuple(f"/cellserve.v1.Sequences/{name}" for name in ("Open", "Restore", "Fork", "Close"))
SEQUENCE_HEADER: Final = "x-sequence-id"
READ_ID: Final = "read-sequence-id"  # the filter that does
GUARD: Final = "guard-administration"  # the filter that asks who administers; either is off but for the routes that want it
_FILTER: Final = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
_UNREAD: Final = "connect-failure,refused-stream,reset-before-request,retriable-headers"
_BROKEN: Final = f"reset,{_UNREAD}"
_ATTEMPTS: Final = 80  # of an eighth of a second on average: longer than a replica takes to start, where it was the only one


def routes(max_body_bytes: int, guarded: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Of the one virtual host, the first that matches counts. max_body_bytes: kept of a request, to ask it again. guarded: paths
    that the guard is asked about.

    What names a sequence in its body alone comes here twice: before that is read, and once it is in the header.
    """
    unnamed = {"headers": [{"name": SEQUENCE_HEADER, "present_match": True, "invert_match": True}]}

    def asked(path: str) -> dict[str, Any]:
        return {"route": _to_replicas(_UNREAD if path in UNREPEATABLE else _BROKEN), "request_body_buffer_limit": max_body_bytes}

    return [
        *({"match": {"path": path}, **asked(path), **_through(GUARD)} for path in sorted(guarded)),
        *({"match": {"path": path}, "route": _to_replicas()} for path in STREAMS),
        *({"match": {"path": path, **unnamed}, **asked(path), **_through(READ_ID)} for path in NAMING),
        *({"match": {"path": path}, **asked(path)} for path in UNREPEATABLE),
        {"match": {"prefix": "/"}, **asked("/")},
    ]


def _through(name: str) -> dict[str, Any]:
    return {"typed_per_filter_config": {name: {"@type": _FILTER, "config": {}}}}


def _to_replicas(retry_on: str | None = None) -> dict[str, Any]:
    """The time of a call is the client's affair: it sends a deadline, and Envoy passes it on."""
    route: dict[str, Any] = {
        "cluster": REPLICAS,
        "timeout": "0s",
        "hash_policy": [{"header": {"header_name": SEQUENCE_HEADER}}],
    }
    if retry_on is not None:
        route["retry_policy"] = {
            "retry_on": retry_on,
            "num_retries": _ATTEMPTS,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 3,
            # Another refusal than this one would be the same elsewhere; what is UNAVAILABLE for want of the store, above all.
            "retriable_headers": [{"name": "grpc-message", "string_match": {"prefix": "[DRAINING]"}}],
        }
    return route
