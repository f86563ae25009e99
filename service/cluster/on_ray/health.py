"""Asks a server for its health (grpc.health.v1), without the stubs of that: both messages are a few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc

_METHOD: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
_NAME: Final = "grpc.ssl_target_name_override"


class Health:
    """Of the server at `url`. tls: files of certificate, key and authority that it is shown, and that it shows as `tls_name`."""

    def __init__(self, url: str, tls: tuple[str, ...] | None, tls_name: str) -> None:
        if tls is None:
            self._channel = grpc.insecure_channel(url)
        else:
            certificate, key, authority = (Path(each).read_bytes() for each in tls)
            credentials = grpc.ssl_channel_credentials(authority, key, certificate)
            self._channel = grpc.secure_channel(url, credentials, options=((_NAME, tls_name),))
        self._check = self._channel.unary_unary(_METHOD, bytes, bytes)

    def serving(self, within_seconds: float) -> bool:
        """Waits for the answer."""
        try:
            return bool(self._check(b"", timeout=within_seconds) == _SERVING)
        except grpc.RpcError:
            return False

    def close(self) -> None:
        self._channel.close()
