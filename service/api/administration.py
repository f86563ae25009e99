"""Who is on this machine: the right to administer a server that has no tokens. Knows no method."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

from cellserve.service.errors import AdministrationDenied


def require_administrator(peer: str) -> None:
    """peer: as gRPC names it, `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711` or `unix:`. Raises AdministrationDenied."""
    if not is_local(peer):
        raise AdministrationDenied(
            "a server without tokens is administered from the machine that it runs on; connect to it there, over loopback, "
            "or let it be started with --tokens"
        )


def is_local(peer: str) -> bool:
    """Whether a peer is on this machine. What cannot be read is not."""
    scheme, _, rest = unquote(peer).partition(":")
    if scheme == "unix":
        return True
    return scheme in ("ipv4", "ipv6") and is_loopback(rest.rpartition(":")[0])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, given as in a setting or in a peer: `127.0.0.1`, `[::1]`, `localhost`."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
