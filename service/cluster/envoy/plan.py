"""What an Envoy before replicas should be: where it listens, whom it calls, whom it believes. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cellserve.service.networks import Network
from cellserve.service.tls_files import TlsFiles


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A replica. name: the same for all its lives, so that its sequences find the one that takes its place."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointsFile:
    """A file that lists the replicas. Envoy reads it again when another is moved into its place."""

    path: str


@dataclass(frozen=True, slots=True)
class EndpointsByName:
    """(host, port) of each, looked up again and again. One alone may resolve to the addresses of all replicas, as a headless
    Service of Kubernetes does; where there are several, each is the place of one replica, whatever its address.
    """

    addresses: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How replicas are called. ca: who has signed their certificates, which must name server_name; the rest is shown to them."""

    ca: Path
    server_name: str
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """admin: path of the local socket where Envoy is administered, or host and port. max_message_bytes: as of the replicas.

    ping_seconds: how often connections to replicas are pinged, which must be no oftener than these allow. administration_from:
    whose administration is let through, beside this machine's; None: everybody's, for replicas with tokens decide themselves.
    believe_request_ids: whether an x-request-id that a client sends is taken for the id of its request.
    watch: host and port where its health and its metrics are shown, and nothing else; None: nowhere.
    """

    host: str
    port: int
    replicas: EndpointsFile | EndpointsByName
    admin: str | tuple[str, int]
    max_message_bytes: int
    ping_seconds: float
    tls: TlsFiles | None = None
    upstream_tls: UpstreamTls | None = None
    administration_from: tuple[Network, ...] | None = field(default=())
    believe_request_ids: bool = False
    watch: tuple[str, int] | None = None
