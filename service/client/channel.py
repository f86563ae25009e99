"""Where and how to call: target, credentials, token and channel options. Knows no request.

A url is `host:port`, or `grpcs://host:port` for TLS with the system's root certificates.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from cellserve.service.split_key import SPLIT_KEY

_UNLIMITED = -1
_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.max_receive_message_length", _UNLIMITED),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),  # the longest that a server which is back goes unnoticed
    ("grpc.min_reconnect_backoff_ms", 5_000),  # the time that one attempt to connect is given, in spite of its name
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),  # a server may come back at another address
    ("grpc.keepalive_time_ms", 30_000),  # while calls or a stream are open: a peer that vanished is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.primary_user_agent", "cellserve-python"),
)
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"  # HealthCheckResponse {status: SERVING}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and how this client introduces itself to it. credentials None: plain text. server_name: whom the server's
    certificate must name; None: the host of the target.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]
    server_name: str | None = None

    @classmethod
    def of(
        cls,
        url: str,
        *,
        token: str | None = None,
        split_key: str | None = None,
        root_certificates: bytes | None = None,
        client_certificate: bytes | None = None,
        client_key: bytes | None = None,
        server_name: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> Endpoint:
        """Raises ValueError: an url without a host or with another scheme; half of a client's certificate and key."""
        scheme, separator, target = url.partition("://")
        if not separator:
            scheme, target = "grpc", url
        if scheme not in ("grpc", "grpcs") or not target.strip("/"):
            raise ValueError(f"{url!r} is no address of a server; host:port or grpcs://host:port was expected")
        if (client_certificate is None) != (client_key is None):
            raise ValueError("a client shows a certificate together with its key; give both or neither")
        if credentials is None and (scheme == "grpcs" or root_certificates is not None or client_key is not None):
            credentials = grpc.ssl_channel_credentials(root_certificates, client_key, client_certificate)
        given = (("authorization", token and f"Bearer {token}"), (SPLIT_KEY, split_key))
        metadata = tuple((name, value) for name, value in given if value is not None)
        return cls(target.rstrip("/"), credentials, metadata, server_name)

    def channel(self) -> grpc.Channel:
        if self.credentials is None:
            return grpc.insecure_channel(self.target, options=_OPTIONS)
        return grpc.secure_channel(self.target, self.credentials, options=self._secure_options())

    def aio_channel(self) -> grpc.aio.Channel:
        """To be called on the event loop that will use it."""
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, options=_OPTIONS)
        return grpc.aio.secure_channel(self.target, self.credentials, options=self._secure_options())

    def _secure_options(self) -> tuple[tuple[str, int | str], ...]:
        return _OPTIONS if self.server_name is None else (*_OPTIONS, ("grpc.ssl_target_name_override", self.server_name))


def is_serving(health_reply: bytes) -> bool:
    return health_reply == _SERVING
