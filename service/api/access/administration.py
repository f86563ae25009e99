"""Who may administer a server that has no tokens: whoever is on this machine, or calls from a network that was named. Knows no
method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from cellserve.service.errors import AdministrationDenied
from cellserve.service.networks import Network, address_of, contains

_LONGEST_NAME: Final = 128


def require_administrator(peer: str, networks: Sequence[Network] = ()) -> None:
    """peer: as gRPC names it, `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711` or `unix:`. networks: those named by the settings.

    Raises AdministrationDenied.
    """
    if not is_local(peer) and not contains(networks, host_of(peer)):
        raise AdministrationDenied(
            "a server without tokens is administered from the machine that it runs on; connect to it there, over loopback, "
            "or let it be started with --tokens, or with --administration-from for the network that you call from "
            f"(this call comes from {host_of(peer) or 'nowhere that it knows'})"
        )


def named(owner: str | None, called: str, peer: str) -> str:
    """Who administers, as far as it is known: whose token it is, what the caller calls itself, from where it calls."""
    names = [name for name in (owner, _readable(called)) if name]
    return ", ".join((*names, f"a call from {unquote(peer)}"))


def is_local(peer: str) -> bool:
    """Whether a peer is on this machine. What cannot be read is not."""
    return peer.startswith("unix:") or is_loopback(host_of(peer))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address, given as in a setting or in a peer: `127.0.0.1`, `[::1]`, `localhost`."""
    if host == "localhost":
        return True
    address = address_of(host)
    return address is not None and address.is_loopback


def host_of(peer: str) -> str:
    """Empty for what is not an address of IP."""
    scheme, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if scheme in ("ipv4", "ipv6") else ""


def _readable(called: str) -> str:
    """In one line, no longer than a name."""
    return "".join(character for character in called[:_LONGEST_NAME] if character.isprintable()).strip()
