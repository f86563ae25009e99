"""Whose x-request-id is believed."""

from __future__ import annotations

import pytest

from cellserve.service.api.access.proxies import Proxies
from cellserve.service.networks import parsed_networks


class Caller:
    def __init__(self, peer: str, *metadata: tuple[str, str]) -> None:
        self._peer = peer
        self._metadata = metadata

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


ID = ("x-request-id", "abc")


@pytest.mark.parametrize(
    ("networks", "peer", "metadata", "believed"),
    [
        ("", "ipv4:127.0.0.1:1", [ID], None),
        ("10.0.0.0/8", "ipv4:127.0.0.1:1", [ID], None),
        ("10.0.0.0/8", "ipv4:10.1.2.3:1", [ID], "abc"),
        ("10.0.0.0/8,::1", "ipv6:%5B::1%5D:1", [("a", "b"), ID], "abc"),
        ("10.0.0.0/8", "ipv4:10.1.2.3:1", [], None),
        ("10.0.0.0/8", "ipv4:10.1.2.3:1", [("x-request-id", "")], None),
        ("10.0.0.0/8", "unix:", [ID], None),
        ("10.0.0.0/8", "ipv4:10.1.2.3:1", [("x-request-id", "x" * 1000)], "x" * 128),
    ],
)
def test_only_a_proxy_that_is_named_is_believed(
    networks: str, peer: str, metadata: list[tuple[str, str]], believed: str | None
) -> None:
    assert Proxies(parsed_networks(networks)).request_id(Caller(peer, *metadata)) == believed
