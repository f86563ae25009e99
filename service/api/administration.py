"""Who may administer the server: without tokens, only peers on this machine. The one place that decides it. Knows no method."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

from cellserve.service.errors import AdministrationDenied


def require_administrator(peer: str) -> None:
    """peer: as gRPC names it, `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711` or `unix:`. Raises AdministrationDenied."""
    if not is_local(peer):
        raise AdministrationDenied(
            "the registry is administered from the machine that the server runs on; connect to it there, over loopback"
        )


def is_local(peer: str) -> bool:
    """Whether a peer is on this machine. What cannot be read is not."""
    scheme, _, rest = unquote(peer).partition(":")
    if scheme == "unix":
        return True
    if scheme not in ("ipv4", "ipv6"):
        return False
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
