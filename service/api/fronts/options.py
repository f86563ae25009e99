"""What is set of a server and of each of its connections, whichever front takes the calls. Knows no front."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellserve.service.config import FrontChoice
from cellserve.service.networks import Network
from cellserve.service.tls_files import TlsFiles


class CannotListen(Exception):
    """The address is taken, or not one of this machine."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Of each connection: the server pings it when it has been silent for `keepalive_seconds`, and drops it without an answer
    after `keepalive_timeout_seconds`; clients may ping every `min_ping_interval_seconds`. After `max_connection_age_seconds`
    (0: never) it is asked to come again, and cut after the grace. max_concurrent_calls: of one connection, a stream is one.
    connection_memory_bytes: of all together, what they may make the front on frames hold (holdings.py).
    tls None: plain text. tokens: the file of them; None: whoever reaches the server may call it, and whoever is on its machine or
    calls from administration_from may administer it. request_ids_from: whose x-request-id is believed. front: who takes the calls
    (choice.py).
    """

    host: str
    port: int
    max_message_bytes: int
    max_concurrent_calls: int = 4096
    keepalive_seconds: float = 120.0
    keepalive_timeout_seconds: float = 20.0
    min_ping_interval_seconds: float = 10.0
    max_connection_age_seconds: float = 0.0
    max_connection_age_grace_seconds: float = 60.0
    connection_memory_bytes: int = 2 * 1024 * 1024 * 1024
    tls: TlsFiles | None = None
    tokens: Path | None = None
    administration_from: tuple[Network, ...] = ()
    request_ids_from: tuple[Network, ...] = ()
    front: FrontChoice = "auto"
