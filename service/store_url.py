"""Where replicas share their live sequences, as a setting: `valkey://user:password@host:6379/0`. Knows no client library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TLS: Final = {"valkey": False, "valkeys": True, "redis": False, "rediss": True}
_SENTINEL: Final = "+sentinel"
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_FILES: Final = ("ca", "certificate", "key")
_SHAPES: Final = (
    "valkey://[user:password@]host:port[/db], valkeys:// for TLS (?ca=FILE&certificate=FILE&key=FILE), "
    "or valkey+sentinel://host:port,host:port/master[/db]"
)


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """master: its name, where the addresses are those of Sentinels; None: there is one address, the store's.

    ca, certificate, key: PEM files of TLS: who has signed the store's certificate, and what is shown to it.
    """

    addresses: tuple[tuple[str, int], ...]
    tls: bool = False
    user: str | None = None
    password: str | None = None
    database: int = 0
    master: str | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def parse(cls, text: str) -> StoreUrl | None:
        """The empty text is none. Raises ValueError, in words that do not repeat the password."""
        if not text:
            return None
        try:
            return cls._parsed(urlsplit(text))
        except ValueError as error:
            raise ValueError(f"the session store is not an address ({error}); write {_SHAPES}") from error

    def __str__(self) -> str:
        """As a log may show it: without user and password."""
        where = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)
        return where if self.master is None else f"{self.master} by the Sentinels {where}"

    @classmethod
    def _parsed(cls, parts: SplitResult) -> StoreUrl:
        scheme, by_sentinels = parts.scheme.removesuffix(_SENTINEL), parts.scheme.endswith(_SENTINEL)
        if scheme not in _TLS:
            raise ValueError(f"its scheme is {parts.scheme[:32]!r}")
        if parts.fragment:
            raise ValueError("it has a fragment; a # in a password is written %23")
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        addresses = tuple(_address(host, _SENTINEL_PORT if by_sentinels else _PORT) for host in hosts.split(","))
        if len(addresses) > 1 and not by_sentinels:
            raise ValueError("it names several hosts, and several are Sentinels only")
        path = [unquote(part) for part in parts.path.split("/") if part]
        master = path.pop(0) if by_sentinels and path else None
        if by_sentinels and master is None:
            raise ValueError("it does not name the master that the Sentinels watch")
        if len(path) > 1 or (path and not path[0].isdecimal()):
            raise ValueError(f"its database is {'/'.join(path)[:32]!r}, not a number")
        files = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        if unknown := sorted(files.keys() - set(_FILES)):
            raise ValueError(f"it says {unknown[0][:32]!r}, and what it may say is {', '.join(_FILES)}")
        if files and not _TLS[scheme]:
            raise ValueError("it names files of TLS, and is not encrypted")
        paths = {name: Path(file) for name, file in files.items()}
        if ("certificate" in paths) != ("key" in paths):
            raise ValueError("a certificate and its key belong together")
        return cls(
            addresses=addresses,
            tls=_TLS[scheme],
            user=unquote(user) or None,
            password=unquote(password) or None,
            database=int(path[0]) if path else 0,
            master=master,
            **paths,
        )


def _address(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("it names no host")
    return parts.hostname, parts.port or port
