"""Who is at the other end of a connection, written as gRPC writes it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

_MAPPED: Final = "::ffff:"  # an address of IPv4 at a socket that takes both


def peer_of(transport: Any) -> str:
    """ "ipv4:127.0.0.1:40000", "ipv6:%5B::1%5D:40000"; transport: of asyncio."""
    return peer_of_name(transport.get_extra_info("peername"))


def peer_of_name(name: Any) -> str:
    """name: as sockets tell it."""
    if not name:
        return "unknown"
    host, port = name[:2]
    host = host.removeprefix(_MAPPED)
    return f"ipv6:{quote(f'[{host}]', safe=':')}:{port}" if ":" in host else f"ipv4:{host}:{port}"
