"""Who is at the other end, as gRPC writes it."""

from __future__ import annotations

from typing import Any

import pytest

from cellserve.service.api.fronts.http2.peer import peer_of


class Transport:
    def __init__(self, name: Any) -> None:
        self._name = name

    def get_extra_info(self, what: str) -> Any:
        return self._name if what == "peername" else None


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (("127.0.0.1", 40000), "ipv4:127.0.0.1:40000"),
        (("::1", 40000, 0, 0), "ipv6:%5B::1%5D:40000"),
        (("fe80::1%eth0", 7, 0, 2), "ipv6:%5Bfe80::1%25eth0%5D:7"),
        (("::ffff:10.0.0.1", 7, 0, 0), "ipv4:10.0.0.1:7"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_peers(name: Any, written: str) -> None:
    assert peer_of(Transport(name)) == written
