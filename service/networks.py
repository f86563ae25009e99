"""Networks as settings write them: 172.16.0.0/12, fd00::/8 or a single address, several by commas. Knows no rights."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed_networks(text: str) -> tuple[Network, ...]:
    """ "" is none. Raises ValueError, in words for the user."""
    return tuple(_parsed(word.strip()) for word in text.split(",")) if text.strip() else ()


def address_of(host: str) -> Address | None:
    """`127.0.0.1`, `[::1]`, `fe80::1%eth0`; one of version 4 that is written as one of version 6 is itself. None: no address."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def contains(networks: Iterable[Network], host: str) -> bool:
    """Whether an address is in one of them; what is no address is in none."""
    address = address_of(host)
    return address is not None and any(address in network for network in networks if network.version == address.version)


def _parsed(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError as error:
        raise ValueError(f"{word!r} is no network ({error}); networks are written like 172.16.0.0/12 or 10.1.2.3") from error
