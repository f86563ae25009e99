"""What a cluster on this machine is started with, and what its replicas are told of it. Pure: the environment is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellserve.service.cluster.envoy.plan import UpstreamTls
from cellserve.service.config import Settings
from cellserve.service.tls_files import TlsFiles

LOCAL: Final = "127.0.0.1"
INTERNAL_NAME: Final = "localhost"  # what the certificate inside a cluster names
_LOOPBACK: Final = "127.0.0.0/8"
_OF_THE_PROXY: Final = tuple(f"CELLSERVE_TLS_{name}" for name in ("CERTIFICATE", "KEY", "CLIENT_CA"))  # as TlsFiles.paths
_OF_THE_CLUSTER: Final = (
    *("host", "port", "metrics_port", "session_store", "replica_name", "request_ids_from", "repository"),
    "min_ping_interval_seconds",  # Envoy pings by it, and reads it where the cluster does
)


@dataclass(frozen=True, slots=True)
class RaySettings:
    """python: that has Ray. address: of a Ray to join; empty: one is started. most_replicas: that there may be when much waits.
    waiting_timesteps: that a server may have before there are more. fewer_after_seconds: for how long fewer must do before there
    are.
    """

    python: Path
    address: str
    most_replicas: int
    waiting_timesteps: float
    fewer_after_seconds: float


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """port: of the proxy. further: options of `cellserve serve` for every replica. serve: what the environment says of replicas.

    store: where an existing one is; empty: one is started. believe_request_ids: an x-request-id from clients is taken for true.
    internal: the certificate that proxy and replicas show each other, and a store that is started has a password then.
    ray: replicas are Ray's to keep; None: this process keeps them.
    """

    replicas: int
    host: str
    port: int
    folder: Path
    serve: Settings
    store: str = ""
    believe_request_ids: bool = False
    internal: TlsFiles | None = None
    further: tuple[str, ...] = ()
    ray: RaySettings | None = None

    @property
    def most_replicas(self) -> int:
        return self.replicas if self.ray is None else self.ray.most_replicas


def internal_tls(folder: Path) -> TlsFiles:
    """ca.pem, certificate.pem and key.pem of a folder."""
    return TlsFiles(folder / "certificate.pem", folder / "key.pem", folder / "ca.pem")


def upstream_tls(internal: TlsFiles | None, name: str) -> UpstreamTls | None:
    """What a proxy shows replicas, and whom it believes. name: that their certificate says."""
    if internal is None or internal.client_ca is None:
        return None
    return UpstreamTls(internal.client_ca.absolute(), name, internal.certificate.absolute(), internal.key.absolute())


def replica_options(settings: ClusterSettings, name: str, store_url: str) -> tuple[str, ...]:
    """Of one on this machine."""
    return (
        *common_options(settings, store_url),
        *("--host", LOCAL, "--replica-name", name, "--request-ids-from", _LOOPBACK),
    )


def common_options(settings: ClusterSettings, store_url: str) -> tuple[str, ...]:
    """Of every replica. Where it listens, whose store it shares and whom it believes is the cluster's affair, and comes last."""
    return (
        *settings.further,
        *("--port", "0", "--metrics-port", "0"),
        *("--repository", settings.serve.repository),
        *(() if _has_password(store_url) else ("--session-store", store_url)),
    )


def replica_environment(settings: ClusterSettings, given: Mapping[str, str], store_url: str, cores: int) -> dict[str, str]:
    """given: this process's. Replicas share the cores, unless it is said how many workers each has.

    The clients' TLS ends at the proxy, which shows replicas the cluster's own certificate.
    """
    environment = {name: value for name, value in given.items() if name not in _OF_THE_PROXY}
    if settings.internal is not None:
        files = zip(_OF_THE_PROXY, settings.internal.paths, strict=True)
        environment |= {name: str(path.absolute()) for name, path in files}
    if _has_password(store_url):  # a command line can be read by everybody
        environment["CELLSERVE_SESSION_STORE"] = store_url
    environment.setdefault("CELLSERVE_WORKERS", str(max(1, (cores - 1) // settings.most_replicas)))
    return environment


def misplaced(further: Sequence[str]) -> str | None:
    """The option among `further` that is the cluster's own; None: there is none."""
    own = [f"--{name.replace('_', '-')}" for name in (*_OF_THE_CLUSTER, "tls_certificate", "tls_key", "tls_client_ca")]
    return next((word for word in further if word.partition("=")[0] in own), None)


def _has_password(url: str) -> bool:
    return "@" in url
